//! Ops as text.

use proptest::prelude::*;
use volchunk::{Axis, Dtype, VolumeInfo};

use super::*;

/// A text for every op, with each of its keys at least once.
const LEGAL: &[&str] = &[
    "gaussian:sigma=1,2.5,2.5:boundary=wrap",
    "gaussian:sigma=5um:boundary=constant(3)",
    "gaussian:sigma=0.1,5um,1e-3um:boundary=constant(-2.5)",
    "gaussian:sigma=0,1,0um:order=2,0,1:truncate=2.5:dtype=int16",
    "gaussian:sigma=3:radius=0,4,7:boundary=wrap,constant(1),mirror",
    "downsample:factor=2",
    "downsample:factor=1,2,3",
    "rescale:factor=0.5,2,1:order=0",
    "rescale:size=5um",
    "rescale:size=5um,2.5um,10um:order=1",
    "transpose:axes=xyz",
    "transpose:axes=x,z,y",
    "cast:dtype=uint8",
    "clip:min=-1",
    "clip:max=1e300",
    "clip:min=3:max=18446744073709551615",
    "threshold:value=-inf",
    "subtract:value=1.5",
    "multiply:value=1e-9",
    "erode:footprint=ball:radius=2",
    "tv:weight=0.3:iterations=5",
    "percentile:low=1:high=99.9:min=-1:max=2:found=-1.5,3e300",
    "local-percentile:block=20um:low=1:high=99:min=0:max=2:floor=0.5:found=7",
    "erode:radius=1:above=0.2:sigma=7um",
    "dilate:footprint=cube:radius=1,0,2",
    "open:footprint=octahedron:radius=1",
    "close:footprint=cube:radius=2",
    "tophat:footprint=ball:radius=1,2,2",
    "median:radius=1,2,1",
    "highpass:sigma=4um:boundary=nearest",
    "unsharp:radius=2:amount=0.5:boundary=mirror",
];

/// The same for ops whose result is a table, for volumes with channels.
const TABLES: &[&str] = &[
    "log:min-sigma=1:max-sigma=2,3,3:num-sigma=4:log-scale=true:threshold=0.1",
    "log:min-sigma=1um:max-sigma=2um:threshold-rel=0.2:found=0.7:overlap=1:exclude-border=1,2,0:channel=0,2",
    "dog:min-sigma=1:max-sigma=2:sigma-ratio=1.3:threshold=0:overlap=0:exclude-border=3",
    "dog:min-sigma=1,1,1:max-sigma=2:threshold-rel=0.2:channel=1",
];

fn volume() -> VolumeInfo {
    let mut info = VolumeInfo::new(&[4, 6, 8], Dtype::U16);
    for (axis, scale) in info.axes.iter_mut().zip([5.0, 2.0, 1.0]) {
        *axis = Axis { scale: Some(scale), unit: Some("micrometer".into()), ..axis.clone() };
    }
    info
}

#[test]
fn every_op_parses_prints_and_binds() {
    for info in OPS {
        let mut all = LEGAL.iter().chain(TABLES);
        assert!(all.any(|l| l.starts_with(&format!("{}:", info.name))), "{}", info.name);
        for key in info.keys {
            let mut all = LEGAL.iter().chain(TABLES);
            assert!(all.any(|l| l.contains(&format!(":{}=", key.name))), "{}", key.name);
            assert!(help().contains(key.summary));
        }
    }
    for text in LEGAL {
        let spec = OpSpec::parse(text).unwrap();
        let again = OpSpec::parse(&spec.to_string()).unwrap();
        assert_eq!(again, spec, "{text}");
        assert_eq!(again.to_string(), spec.to_string());
        let op = spec.bind(&volume()).unwrap();
        assert_eq!(op.name(), spec.info().name, "{text}");
    }
    let mut channels = VolumeInfo::new(&[3, 4, 6, 8], Dtype::U16);
    channels.axes[1..].clone_from_slice(&volume().axes);
    for text in TABLES {
        let spec = OpSpec::parse(text).unwrap();
        assert_eq!(OpSpec::parse(&spec.to_string()).unwrap(), spec, "{text}");
        let op = spec.bind(&channels).unwrap();
        assert_eq!(op.name(), spec.info().name, "{text}");
    }
    // Equal jobs have equal text.
    assert_eq!(
        OpSpec::parse("rescale:order=1:factor=2.0").unwrap(),
        OpSpec::parse("rescale:factor=2").unwrap()
    );
}

/// Text, and what its message must hold: the text itself, what was found, what would be legal.
#[test]
fn refused() {
    for (text, parts) in [
        ("", &["unknown op ''", "gaussian, downsample"][..]),
        ("gausian:sigma=1", &["did you mean 'gaussian'?"]),
        ("blur:sigma=1", &["unknown op 'blur'; legal: gaussian"]),
        (
            "gaussian",
            &[
                "key 'sigma' is missing",
                "gaussian:sigma=N[um][,…][:order=N[,…]]",
                "[:boundary=BOUNDARY[,…]]",
            ],
        ),
        ("gaussian:", &["'' is not key=value"]),
        ("gaussian:1", &["'1' is not key=value"]),
        ("gaussian:sgma=1", &["unknown key 'sgma'; did you mean 'sigma'? legal: sigma, order"]),
        ("gaussian:sigma=1:sigma=2", &["'sigma' is given twice"]),
        ("gaussian:sigma=-1", &["sigma: '-1' is not legal", "at least 0"]),
        ("gaussian:sigma=1,-2,1", &["'-2' (in '1,-2,1')"]),
        ("gaussian:sigma=1:order=-1", &["order: '-1' is not legal", "at least 0"]),
        ("gaussian:sigma=1:radius=1.5", &["radius: '1.5'"]),
        ("gaussian:sigma=1:truncate=x", &["truncate: 'x'"]),
        ("gaussian:sigma=1:boundary=wrap,", &["boundary: ", "''"]),
        ("gaussian:sigma=-1um", &["'-1um'"]),
        ("gaussian:sigma=nan", &["'nan'"]),
        ("gaussian:sigma=inf", &["'inf'"]),
        ("gaussian:sigma=1mm", &["'1mm'", "5um"]),
        ("gaussian:sigma=", &["'' is not legal"]),
        ("gaussian:sigma=1,", &["'' (in '1,')"]),
        ("gaussian:sigma=1:boundary=wrp", &["boundary: ", "'wrp'", "wrap"]),
        ("gaussian:sigma=1:boundary=constant(nan)", &["constant(nan)"]),
        ("downsample:factor=0", &["'0'", "at least 1"]),
        ("downsample:factor=1.5", &["'1.5'"]),
        ("rescale", &["neither 'factor' nor 'size'"]),
        ("rescale:factor=2:size=1um", &["both 'factor' and 'size'"]),
        ("rescale:factor=2um", &["'2um'"]),
        ("rescale:size=2", &["'2'", "5um"]),
        ("rescale:factor=2:order=3", &["'3'", "0, 1"]),
        ("transpose:axes=", &["axes: ''"]),
        ("cast:dtype=uint9", &["'uint9'", "uint8"]),
        ("clip", &["min, max or both"]),
        ("clip:min=2:max=1", &["min is 2 and max is 1"]),
        ("clip:min=nan", &["NaN"]),
        ("threshold:value=nan", &["NaN"]),
        ("threshold:value=x", &["'x' is not a number"]),
        ("subtract:value=inf", &["finite"]),
        ("erode:footprint=ring:radius=1", &["'ring'", "octahedron, ball, cube"]),
        ("erode:radius=1:above=2", &["'above' and 'sigma' belong together"]),
        ("unsharp:radius=1:amount=inf", &["amount is inf"]),
        ("tv:weight=0", &["weight", "above 0"]),
        ("tv:iterations=0", &["'0'", "at least 1"]),
        ("percentile:low=60:high=50", &["low is 60 and high is 50"]),
        ("percentile:high=101", &["0 <= low < high <= 100"]),
        ("percentile:found=2,1", &["found has 2 values", "ascending"]),
        ("percentile:found=2", &["found has 1 values"]),
        ("percentile:found=2,inf", &["finite"]),
        ("local-percentile", &["key 'block' is missing"]),
        ("local-percentile:block=5:floor=inf", &["floor is inf"]),
    ] {
        let error = OpSpec::parse(text).unwrap_err();
        assert_eq!(error.kind(), volchunk::ErrorKind::InvalidArgument);
        let message = error.to_string();
        assert!(message.starts_with(&format!("op '{text}': ")), "{message}");
        assert!(parts.iter().all(|p| message.contains(p)), "{text}: {message}");
    }
}

#[test]
fn refused_by_the_volume() {
    let plain = VolumeInfo::new(&[4, 6, 8], Dtype::U16);
    for (text, parts) in [
        ("gaussian:sigma=1,2", &["sigma has 2 values", "3 spatial axes (z, y, x)"][..]),
        ("gaussian:sigma=1:order=1,2", &["order has 2 values", "3 spatial axes (z, y, x)"]),
        ("gaussian:sigma=1:order=1,2,21", &["order of axis x is 21; legal: 0 to 20"]),
        ("gaussian:sigma=9:order=20", &["order of axis z is 20", "overflow"]),
        ("gaussian:sigma=1:radius=9999999", &["radius of axis z is 9999999", "0 to 1048576"]),
        ("gaussian:sigma=1:truncate=-4", &["truncate of axis z is -4", "at least 0"]),
        ("gaussian:sigma=1:truncate=inf", &["truncate of axis z is inf"]),
        ("gaussian:sigma=1e9:truncate=2", &["sigma of axis z is 1000000000", "524288"]),
        ("gaussian:sigma=1:boundary=wrap,wrap", &["boundary has 2 values"]),
        ("gaussian:sigma=5um", &["voxel size of axis z is unknown", "--voxel-size"]),
        ("rescale:size=5um", &["--voxel-size"]),
        ("downsample:factor=1,2,3,4", &["factor has 4 values"]),
        ("transpose:axes=xy", &["axes is 'xy'", "each axis of 'zyx' once"]),
        ("transpose:axes=xyy", &["'xyy'"]),
        ("transpose:axes=xyzz", &["'xyzz'"]),
        ("transpose:axes=xyq", &["'xyq'"]),
        ("rescale:factor=1e6", &["2^63"]),
        ("erode:radius=1025", &["radius of axis z is 1025", "0 to 1024"]),
        ("median:radius=100", &["8120601 voxels"]),
        ("tv:iterations=5000", &["1 to 4096"]),
        ("local-percentile:block=5um", &["--voxel-size"]),
        ("rescale:factor=1e300", &["2^53"]),
    ] {
        let error = OpSpec::parse(text).unwrap().bind(&plain).unwrap_err().to_string();
        assert!(error.starts_with("op '"), "{error}");
        assert!(parts.iter().all(|p| error.contains(p)), "{text}: {error}");
    }
    let specs = ["transpose:axes=xyz", "transpose:axes=qyz"].map(|t| OpSpec::parse(t).unwrap());
    assert!(bind_chain(&specs, plain).unwrap_err().to_string().contains("'xyz' once"));
}

/// A chain: values follow their axes, µm the changed voxel size.
#[test]
fn chains_follow_the_axes() {
    let specs = ["transpose:axes=xzy", "downsample:factor=2,1,1", "rescale:size=4um"];
    let specs = specs.map(|t| OpSpec::parse(t).unwrap());
    let pipeline = bind_chain(&specs, volume()).unwrap();
    // x 8 × 1 µm → 4 × 2 µm → 2 × 4 µm; z 4 × 5 µm → 5 × 4 µm; y 6 × 2 µm → 3 × 4 µm.
    assert_eq!(&pipeline.output().shape[..], [2, 5, 3]);
    assert_eq!(pipeline.output().axis_names(), "xzy");
    assert!(pipeline.output().axes.iter().all(|a| a.scale == Some(4.0)));
    assert_eq!(pipeline.output().axes[0].origin, 1.5);
}

#[test]
fn distances() {
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!((distance("", "ab"), distance("a", "abcd")), (2, usize::MAX));
}

fn texts() -> impl Strategy<Value = String> {
    let words = "percentile|found|erode|tv|low|gaussian|downsample|rescale|transpose|cast|clip|threshold|subtract|multiply|sigma|boundary|truncate|radius|factor|size|order|axes|dtype|min|max|value|wrap|constant\\(|\\)|um|µm|[0-9.eE+-]{0,6}|uint8|inf|nan|zyx|xyz|.{0,2}|[:=,]";
    prop_oneof![
        any::<String>(),
        prop::collection::vec(words, 0..9).prop_map(|w| w.concat()),
        (prop::sample::select(LEGAL), any::<prop::sample::Index>(), any::<char>()).prop_map(
            |(text, at, with)| {
                let mut chars: Vec<char> = text.chars().collect();
                let at = at.index(chars.len());
                chars[at] = with;
                chars.into_iter().collect()
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Any text is an op or an error; an op's text is a fixed point; binding never panics.
    #[test]
    fn any_text(text in texts()) {
        if let Ok(spec) = OpSpec::parse(&text) {
            let again = OpSpec::parse(&spec.to_string()).unwrap();
            prop_assert_eq!(&again, &spec);
            prop_assert_eq!(again.to_string(), spec.to_string());
            for shape in [&[4, 6, 8][..], &[], &[1], &[0, 3], &[u64::MAX, 1], &[2, 2, 2, 2, 2, 2]] {
                let _ = spec.bind(&VolumeInfo::new(shape, Dtype::I64));
            }
            let _ = spec.bind(&volume());
        }
    }

    #[test]
    fn numbers_round_trip(bits in any::<u64>(), um in any::<bool>()) {
        let v = f64::from_bits(bits).abs();
        prop_assume!(v.is_finite() && v > 0.0);
        let text = format!("gaussian:sigma={v}{}", if um { "um" } else { "" });
        prop_assert_eq!(OpSpec::parse(&text).unwrap().to_string(), format!("{text}:boundary=reflect"));
    }
}

#[test]
fn blobs_refuse_what_makes_no_sense_and_name_the_key() {
    let volume = VolumeInfo::new(&[20, 20, 20], Dtype::U8);
    let error = |text: &str| {
        let op = OpSpec::parse(text).and_then(|op| op.bind(&volume).map(|_| ()));
        op.unwrap_err().to_string()
    };
    let sigmas = "log:min-sigma=1:max-sigma=2";
    for (text, found) in [
        (format!("{sigmas}:threshold=-1"), "threshold is -1; legal: finite, and at least 0"),
        (format!("{sigmas}:threshold=nan"), "threshold"),
        (format!("{sigmas}:threshold=inf"), "threshold is inf"),
        (format!("{sigmas}:overlap=1.5"), "overlap is 1.5; legal: 0 to 1"),
        (format!("{sigmas}:threshold-rel=-0.1"), "threshold-rel is -0.1; legal: 0 to 1"),
        (format!("{sigmas}:found=1,2"), "found has several values"),
        (format!("{sigmas}:channel=1"), "no channel axis"),
        (format!("{sigmas}:num-sigma=2,3"), "num-sigma has 2 values"),
        (format!("{sigmas}:exclude-border=1,2"), "exclude-border has 2 values"),
        ("log:min-sigma=2:max-sigma=1".into(), "min-sigma is 2 voxels, above max-sigma, 1"),
        ("log:min-sigma=0:max-sigma=1".into(), "min-sigma is 0 voxels; legal: finite, and above 0"),
        ("log:min-sigma=nan:max-sigma=1".into(), "min-sigma"),
        ("log:min-sigma=1um:max-sigma=2um".into(), "voxel size of axis z is unknown"),
        ("dog:min-sigma=1:max-sigma=2:sigma-ratio=1".into(), "sigma-ratio is 1; legal"),
    ] {
        let message = error(&text);
        assert!(message.contains(found), "{text}: {message}");
    }
    let op = OpSpec::parse("dog:min-sigma=1:max-sigma=2,3,4").unwrap();
    let detector = op.detector(&volume).unwrap().unwrap();
    assert_eq!(detector.overlap, 0.5);
    assert_eq!(detector.scales.sigmas(0), [1.0; 3]);
    let gaussian = OpSpec::parse("gaussian:sigma=1").unwrap();
    assert!(gaussian.detector(&volume).unwrap().is_none());
}
