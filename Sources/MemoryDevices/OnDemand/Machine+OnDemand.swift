// Invariant: an on-demand region holds no reference. The device's table has an entry for a page only
// while the process shows the same frame there; whatever changes the page tables invalidates it first.

public import MemoryModel
internal import MemoryOperations

/// What a device found when it reached for pages on demand.
public struct DeviceAccess: Sendable, Equatable {
  /// Pages whose entries were still valid.
  public var hits = 0
  /// Pages that the device asked for the first time.
  public var faults = 0
  /// Pages that were invalidated since, because the kernel moved or took them, and were asked for again.
  public var refaults = 0
  public var refusal: Refusal?
}

extension Machine {
  /// The device reaches for pages of an on-demand region (rules P7.22, P9.10).
  ///
  /// Kernel: `ib_umem_odp_map_dma_and_lock()`, `hmm_range_fault()`.
  public mutating func accessOnDemand(
    attachment: Int, mapping: Int, pages: Range<Int>
  ) -> DeviceAccess {
    var access = DeviceAccess()
    guard let device = devices.attachment(attachment),
      let index = device.mappings.firstIndex(where: { $0.id == mapping })
    else { return access }
    let isWrite = device.mappings[index].isWrite
    for page in pages {
      let seen = device.mappings[index].seen[page]
      let isLost = device.mappings[index].takenBack.contains(page)
      if seen == nil || isLost || seen != frame(device.space, page, isWrite: isWrite) {
        if frame(device.space, page, isWrite: isWrite) == nil {
          var fault = FaultOperation(
            space: device.space, page: page, access: isWrite ? .write : .read)
          fault.run(&self)
          if case .refused(let refusal) = fault.outcome {
            access.refusal = refusal
            return access
          }
        }
        if seen == nil { access.faults += 1 } else { access.refaults += 1 }
        noteAccess(attachment, mapping, page: page, frame(device.space, page, isWrite: isWrite))
      } else {
        access.hits += 1
      }
    }
    return access
  }

  /// How many entries of the device's table the kernel has invalidated.
  public func invalidatedOnDemand(attachment: Int, mapping: Int) -> Int {
    guard let device = devices.attachment(attachment),
      let region = device.mappings.first(where: { $0.id == mapping })
    else { return 0 }
    return region.seen.count { page, pfn in
      region.takenBack.contains(page)
        || frame(device.space, page, isWrite: region.isWrite) != pfn
    }
  }

  /// The frame that a process shows at a page, if the access is allowed there.
  private func frame(_ space: Int, _ page: Int, isWrite: Bool) -> PFN? {
    guard spaces[space].isAlive else { return nil }
    let (entry, _, level) = entry(space, page: page)
    guard entry.isPresent, !isWrite || entry.flags.contains(.write) else { return nil }
    return entry.pfn + page & ((1 << level.order) - 1)
  }
}
