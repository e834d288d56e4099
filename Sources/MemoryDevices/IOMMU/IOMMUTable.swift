// Invariant: entries are counted in the order of the IOVAs, each run with the largest pages that its
// address, its frames and its length allow, as `iommu_map()` chooses them.

public import MemoryModel

/// The IOMMU's page table of a container, counted (rules P7.2, P7.50).
///
/// Kernel: `iommu_pgsize()`, drivers/iommu/iommu.c; four levels of 512 entries, as VT-d has.
public struct IOMMUTable: Sendable, Equatable {
  /// Entries of 4 KiB, 2 MiB and 1 GiB.
  public private(set) var small = 0
  public private(set) var large = 0
  public private(set) var gigantic = 0
  /// Pages of the table itself, 4 KiB each.
  public private(set) var tables = 1

  private var last = [-1, -1, -1]

  init() {}

  public var bytes: Int { tables << 12 }

  /// Adds frames that lie one behind the other.
  ///
  /// - Parameter page: Where, as a page of the device's addresses.
  mutating func add(_ page: Int, frame: Int, pages: Int) {
    var page = page
    var frame = frame
    var left = pages
    while left > 0 {
      let aligned = page | frame
      let step: Int
      if aligned & (1 << 18 - 1) == 0, left >= 1 << 18 {
        step = 1 << 18
        gigantic += 1
        touch(page, levels: 1)
      } else if aligned & 511 == 0, left >= 512 {
        step = 512
        large += 1
        touch(page, levels: 2)
      } else {
        // Up to where a larger page could begin.
        step = min(left, 512 - page & 511)
        small += step
        touch(page, levels: 3)
      }
      page += step
      frame += step
      left -= step
    }
  }

  /// Counts the tables on the way to an entry, each once.
  private mutating func touch(_ page: Int, levels: Int) {
    for level in 0..<levels {
      let index = page >> (27 - 9 * level)
      if last[level] != index {
        last[level] = index
        tables += 1
      }
    }
  }

  /// The entries of a mapping where every power of two is a page size of the IOMMU.
  static func powersOfTwo(_ machine: borrowing Machine, _ mapping: DeviceMapping) -> Int {
    var entries = 0
    machine.forEachFrameRun(mapping) { offset, frame, pages in
      var page = mapping.iova + offset
      var frame = frame
      var left = pages
      while left > 0 {
        let fits = Int.bitWidth - 1 - left.leadingZeroBitCount
        let step = 1 << min(fits, (page | frame).trailingZeroBitCount)
        entries += 1
        page += step
        frame += step
        left -= step
      }
    }
    return entries
  }
}

extension Machine {
  /// The IOMMU's table of a container.
  ///
  /// Costs a look at all of its pages.
  public func iommuTable(_ device: DeviceAttachment) -> IOMMUTable {
    var table = IOMMUTable()
    for mapping in device.mappings.sorted(by: { $0.iova < $1.iova }) {
      forEachFrameRun(mapping) { offset, frame, pages in
        table.add(mapping.iova + offset, frame: frame, pages: pages)
      }
    }
    return table
  }
}
