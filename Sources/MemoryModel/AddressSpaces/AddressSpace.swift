/// The address space of one process.
///
/// Kernel: `struct mm_struct`.
public struct AddressSpace: Sendable, Equatable, Codable {
  public let id: Int
  public var name: String
  /// Sorted, not overlapping.
  public package(set) var areas: [MemoryArea] = []
  /// The top table, or 0 once the process is gone.
  var root: Int
  public package(set) var isAlive = true
  /// The OOM killer has sent it SIGKILL.
  public package(set) var isKilled = false
  /// A fork still makes it: it is on no list of processes yet.
  public package(set) var isStarting = false
  /// Operations of its task that have begun and not ended.
  package var operations = 0
  /// A pin was ever taken, so fork looks for pinned pages (rule P2.20).
  ///
  /// Kernel: `MMF_HAS_PINNED`.
  public package(set) var hasPinned = false
  /// Odd while a fork copies page tables (rule P3.30).
  ///
  /// Kernel: `mm->write_protect_seq`.
  public package(set) var writeProtectSequence = 0
  /// Who holds mmap_lock: readers, or -1 for a writer.
  public package(set) var mmapLock = 0
  /// Pages by class: anonymous, page cache, shmem.
  public package(set) var anonymousPages = 0
  public package(set) var filePages = 0
  public package(set) var shmemPages = 0
  /// Entries of its page tables that name a page in swap space.
  ///
  /// Kernel: `MM_SWAPENTS`.
  public package(set) var swapEntries = 0
  /// Pages that hugetlb leaves show.
  ///
  /// Kernel: `mm->hugetlb_usage`.
  public package(set) var hugetlbPages = 0
  /// `mm->locked_vm` and `mm->pinned_vm`, in pages.
  public package(set) var lockedPages = 0
  public package(set) var pinnedPages = 0
  /// What the OOM killer adds to its score, in thousandths.
  public var oomScoreAdjustment = 0
  /// The hash page table of a powerpc guest (rule P5.20).
  public package(set) var hashTable: HashPageTable?
  /// The exe's limit for locked memory in bytes, or nil for none.
  public var memlockLimit: Int?

  /// A guest's RAM: the pages from which offsets count; empty for any other process.
  public package(set) var ram = 0..<0
  /// The node on whose CPUs its tasks run; nil for any.
  public package(set) var homeNode: Int?

  /// User space ends here: 47 bits.
  public static let endPage = 1 << 35

  init(id: Int, name: String, root: Int) {
    self.id = id
    self.name = name
    self.root = root
  }

  /// The index of the area that holds `page`.
  public func areaIndex(_ page: Int) -> Int? {
    let index = firstArea(endingAfter: page)
    return index < areas.count && areas[index].start <= page ? index : nil
  }

  public func area(_ page: Int) -> MemoryArea? { areaIndex(page).map { areas[$0] } }

  /// The index of the first area that ends behind `page`; `areas.count` when there is none.
  ///
  /// Kernel: `find_vma()`.
  public func firstArea(endingAfter page: Int) -> Int {
    var low = 0
    var high = areas.count
    while low < high {
      let middle = (low + high) / 2
      if areas[middle].end > page { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
