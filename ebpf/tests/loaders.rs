//! The object is loader-neutral: `aya` takes the bytes that libbpf takes.

use aya::EbpfLoader;
use aya::maps::{HashMap, Map, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp};
use wirebook_ebpf::{LineKey, STEER_OBJECT, Vlan};

#[test]
fn aya_loads_the_object_and_finds_program_and_maps() {
    let mut object = match EbpfLoader::new().load(STEER_OBJECT) {
        Ok(object) => object,
        Err(error) => return skip_without_rights(&format!("{error:?}")),
    };
    let key = LineKey { group: [233, 54, 12, 111].into(), port: 26477, vlan: Vlan::Tagged(141) }
        .to_bytes();
    let mut lines: HashMap<_, [u8; 12], u16> =
        HashMap::try_from(object.map_mut("lines").unwrap()).unwrap();
    lines.insert(key, 7, 0).unwrap();
    assert_eq!(lines.get(&key, 0).unwrap(), 7);

    let counts: PerCpuArray<_, [u64; 4]> =
        PerCpuArray::try_from(object.map("counts").unwrap()).unwrap();
    for row in counts.get(&0, 0).unwrap().iter() {
        assert_eq!(*row, [0; 4]);
    }
    let sockets: &Map = object.map("sockets").unwrap();
    assert_eq!(XskMap::try_from(sockets).unwrap().len(), 1024);

    let program: &mut Xdp = object.program_mut("steer").unwrap().try_into().unwrap();
    let loaded: Result<(), ProgramError> = program.load();
    loaded.unwrap();
    assert_eq!(program.info().unwrap().name_as_str(), Some("steer"));
}

fn skip_without_rights(error: &str) {
    assert!(error.contains("PermissionDenied") || error.contains("code: 1,"), "{error}");
    assert!(
        std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
        "{error}"
    );
    eprintln!("SKIP: loading a BPF object needs CAP_BPF: {error}");
}
