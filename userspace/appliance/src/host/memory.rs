//! Hugepages by NUMA node.
//!
//! Files: Documentation/admin-guide/mm/hugetlbpage.rst.

use super::Host;

/// The size of the hugepages that tables, UMEM and segment use.
pub const HUGEPAGE_BYTES: usize = 2 << 20;

/// The 2 MiB hugepages of one NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugepagePool {
    /// The node; none on a kernel without NUMA.
    pub node: Option<usize>,
    /// Pages in the pool.
    pub total: usize,
    /// Those that nobody holds.
    pub free: usize,
    /// Where the size of the pool is set.
    pub path: String,
}

/// The pools of 2 MiB pages, by node.
pub fn hugepage_pools(host: &Host) -> Vec<HugepagePool> {
    pools(host, 2_048)
}

/// The pools of 1 GiB pages, by node.
pub fn gigantic_pools(host: &Host) -> Vec<HugepagePool> {
    pools(host, 1 << 20)
}

fn pools(host: &Host, page_kib: usize) -> Vec<HugepagePool> {
    let nodes = host.names("sys/devices/system/node");
    let nodes = nodes.iter().filter_map(|name| name.strip_prefix("node")?.parse::<usize>().ok());
    let of_node = |node| {
        let folder = format!("sys/devices/system/node/node{node}/hugepages/hugepages-{page_kib}kB");
        pool(host, Some(node), &folder)
    };
    let pools: Vec<_> = nodes.filter_map(of_node).collect();
    if !pools.is_empty() {
        return pools;
    }
    pool(host, None, &format!("sys/kernel/mm/hugepages/hugepages-{page_kib}kB"))
        .into_iter()
        .collect()
}

fn pool(host: &Host, node: Option<usize>, folder: &str) -> Option<HugepagePool> {
    let count = |file: &str| usize::try_from(host.number(format!("{folder}/{file}"))?).ok();
    Some(HugepagePool {
        node,
        total: count("nr_hugepages")?,
        free: count("free_hugepages")?,
        path: format!("{folder}/nr_hugepages"),
    })
}
