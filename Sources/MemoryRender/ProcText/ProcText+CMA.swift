// Invariant: each file has the bytes that 6.12 prints.

public import MemoryModel

extension ProcText {
  /// The files of a CMA area that show numbers: those of debugfs (cma/NAME/) first, then those of sysfs
  /// (/sys/kernel/mm/cma/NAME/).
  public enum CMAFile: String, CaseIterable, Sendable {
    case basePFN = "base_pfn"
    case count
    case orderPerBit = "order_per_bit"
    case used
    case maxChunk = "maxchunk"
    case bitmap
    case allocPagesSuccess = "alloc_pages_success"
    case allocPagesFail = "alloc_pages_fail"
    case releasePagesSuccess = "release_pages_success"
  }

  /// The text of one file of an area (rule P5.4).
  ///
  /// Kernel: `cma_debugfs_add_one()`, mm/cma_debug.c; `cma_attrs[]`, mm/cma_sysfs.c.
  public static func cma(
    _ file: CMAFile, area: Int, _ machine: borrowing Machine
  ) -> String {
    let values = machine.cmaAreas[area]
    switch file {
    case .basePFN: return "\(values.base)\n"
    case .count: return "\(values.pages)\n"
    case .orderPerBit: return "\(values.orderPerBit)\n"
    case .used: return "\(machine.cmaUsed(area: area))\n"
    case .maxChunk: return "\(machine.cmaLargestRun(area: area))\n"
    case .bitmap: return bitmap(machine.cmaSetRuns(area: area), bits: values.bits)
    case .allocPagesSuccess: return "\(values.allocatedPages)\n"
    case .allocPagesFail: return "\(values.failedPages)\n"
    case .releasePagesSuccess: return "\(values.releasedPages)\n"
    }
  }

  /// Words of 32 bits in decimal, the lowest bits first.
  ///
  /// Kernel: `debugfs_create_u32_array()`.
  private static func bitmap(_ runs: [Range<Int>], bits: Int) -> String {
    var words = Array(repeating: UInt32(0), count: (bits + 31) / 32)
    for run in runs {
      for bit in run { words[bit >> 5] |= 1 << UInt32(bit & 31) }
    }
    return words.map(String.init).joined(separator: " ") + "\n"
  }
}
