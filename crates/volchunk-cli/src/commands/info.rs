//! `volchunk info`.

use serde_json::json;
use volchunk::Result;

use crate::{args::InfoArgs, config::Description, output::print, prepare::open_input, report};

/// Prints what a volume is.
pub(crate) fn info(args: &InfoArgs) -> Result<()> {
    let source = open_input(&args.input, &Description::from_args(&args.describe)?)?;
    let path = args.input.display().to_string();
    if args.json {
        let mut value = report::info_json(source.info());
        value["path"] = json!(path);
        print(&format!("{value:#}\n"))
    } else {
        print(&report::info_text(&path, source.info()))
    }
}
