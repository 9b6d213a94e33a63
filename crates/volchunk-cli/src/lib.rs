//! The volchunk program, and the library behind it
