// Invariant: every text here is, byte for byte, what 6.12 prints for a machine in that state, blanks
// before line ends included (rules A8.1 to A8.4). Reading changes nothing: no counter is folded.

internal import MemoryModel

/// The files of /proc that describe memory.
public enum ProcText {
}

extension Geometry {
  /// Frames in a section of the sparse memory map, the unit in which `struct page` exist at all.
  ///
  /// Kernel: `SECTION_SIZE_BITS`: 27 on x86_64, 24 on ppc64.
  var sectionPages: Int { 1 << ((pageShift == 16 ? 24 : 27) - pageShift) }
}

extension Machine {
  /// The migratetypes that this kernel has, in its own numbering (rule A0.2).
  var migrateTypes: [MigrateType] { MigrateType.allCases.filter { hasCMA || $0 != .cma } }

  /// The nodes that have a populated zone, ascending.
  func hasMemory(node: Int) -> Bool {
    (0..<ZoneIndex.count).contains { zone(node * ZoneIndex.count + $0).isPopulated }
  }

  /// The sections of the memory map that hold any memory, ascending.
  var sections: [Int] {
    var result: [Int] = []
    for range in memory where !range.isEmpty {
      let last = (range.end - 1) / geometry.sectionPages
      var section = max(range.start / geometry.sectionPages, (result.last ?? -1) + 1)
      while section <= last {
        result.append(section)
        section += 1
      }
    }
    return result
  }
}
