// Invariant: the pin of a mapping holds what is not given back yet; the mapping stays in the table until
// nothing is left.

public import MemoryModel
import MemoryOperations

/// What giving mappings back did.
public struct DeviceUnmapOutcome: Sendable, Hashable {
  public var pages = 0
  /// Reads of the IOMMU's table to find the runs (rule P7.7).
  public var lookups = 0
  public var iommuUnmaps = 0
  /// Flushes of the IOTLB: one for 512 regions (rule P7.7).
  public var syncs = 0
  public var costs = OperationCosts()

  public init() {}
}

/// Takes mappings away from a device, one after the other, and gives their pages back.
///
/// Kernel: `vfio_unmap_unpin()`, `iopt_unmap_iova()`, `ib_umem_release()`, `io_buffer_unmap()`,
/// `mm_iommu_unpin()`.
public struct DeviceUnmap: ExplorableOperation {
  public private(set) var outcome: DeviceUnmapOutcome?
  public var summary: CallSummary? {
    outcome.map { CallSummary("\($0.pages) pages", key: $0) }
  }
  private let attachment: Int
  private let closes: Bool
  private var left: ArraySlice<Int>
  /// The first mapping has been looked at, and counted.
  private var hasBegun = false
  private var unmapped = DeviceUnmapOutcome()
  private var isBusy = false

  /// Regions after which VFIO flushes and unpins.
  static let regionsASync = 512

  public init(attachment: Int, mappings: [Int]) {
    self.attachment = attachment
    left = mappings[...]
    closes = false
  }

  /// Closes the device: all that it has mapped by then is given back.
  public init(closing attachment: Int) {
    self.attachment = attachment
    left = []
    closes = true
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard let device = machine.devices.attachment(attachment) else {
      outcome = unmapped
      return .finished
    }
    if !isBusy {
      guard !device.isBusy else { return .waiting(.device(attachment)) }
      machine.setBusy(device: attachment, device.holdsMutex)
      isBusy = true
      if closes { left = device.mappings.map(\.id)[...] }
    }
    guard let id = left.first else {
      machine.setBusy(device: attachment, false)
      if closes { machine.closeDevice(attachment) }
      outcome = unmapped
      return .finished
    }
    if let held = device.mappings.first(where: { $0.id == id }) {
      if !hasBegun {
        if device.kind == .spapr { machine.markSlotsDirty(held) }
        count(machine, device, held)
        hasBegun = true
      }
      guard giveBack(&machine, device, held, pace) else { return .running }
      if let pin = held.pin { machine.removePin(pin) }
      machine.removeMapping(attachment, id)
    }
    left.removeFirst()
    hasBegun = false
    return .running
  }

  /// - Returns: True when the mapping holds nothing any more.
  private mutating func giveBack(
    _ machine: inout Machine, _ device: DeviceAttachment, _ held: DeviceMapping, _ pace: Pace
  ) -> Bool {
    guard let id = held.pin else { return true }
    // io_uring does not know what was written; powerpc dirties the pages whose slot says so.
    let dirties = held.isWrite && device.kind != .ioUring && device.kind != .spapr
    return machine.unpinNext(
      id, limit: pace == .slice ? 1 << 20 : 1, batched: device.unpinsInBatches(machine),
      dirty: dirties, &unmapped.costs)
  }

  private mutating func count(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ held: DeviceMapping
  ) {
    unmapped.pages += held.pages
    if device.kind.isVFIO {
      // Each page is looked up, and the first of the next run once more, where the run breaks; with pages
      // of every power of two it is one look and one call for each entry.
      let isFine = device.hasFineSuperpages
      let regions = isFine ? IOMMUTable.powersOfTwo(machine, held) : held.runs
      unmapped.lookups += isFine ? regions : held.pages + regions - 1
      unmapped.iommuUnmaps += regions
      unmapped.syncs += (regions + Self.regionsASync - 1) / Self.regionsASync
    } else if device.kind == .iommufd {
      unmapped.iommuUnmaps += 1
    }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    Step(
      "d3", "unpin_user_pages",
      left.first.map { "give back the next pages of mapping #\($0)" } ?? "return")
  }

  /// A signal does not stop it: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}
