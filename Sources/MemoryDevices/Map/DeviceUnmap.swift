// Invariant: the words of the pin before `done` are given back; the mapping stays in the table until
// all are.

public import MemoryModel
import MemoryOperations

/// What giving a mapping back did.
public struct DeviceUnmapOutcome: Sendable, Hashable {
  public var pages: Int
  /// Reads of the IOMMU's table to find the runs (rule P7.7).
  public var lookups = 0
  public var iommuUnmaps = 0
  public var costs: OperationCosts

  public init(pages: Int, costs: OperationCosts) {
    self.pages = pages
    self.costs = costs
  }
}

/// Takes one mapping away from a device, and gives its pages back (rules P7.7, P7.21, P7.42).
///
/// Kernel: `vfio_unmap_unpin()`, `ib_umem_release()`, `mm_iommu_release()`.
public struct DeviceUnmap: ExplorableOperation {
  public private(set) var outcome: DeviceUnmapOutcome?
  public var summary: CallSummary? {
    outcome.map { CallSummary("\($0.pages) pages", key: $0) }
  }
  private let attachment: Int
  private let mapping: Int
  private var done = 0
  private var costs = OperationCosts()

  public init(attachment: Int, mapping: Int) {
    self.attachment = attachment
    self.mapping = mapping
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard let device = machine.devices.attachment(attachment),
      let index = device.mappings.firstIndex(where: { $0.id == mapping })
    else {
      outcome = DeviceUnmapOutcome(pages: 0, costs: costs)
      return .finished
    }
    let held = device.mappings[index]
    if let id = held.pin, let record = machine.pin(id) {
      let words = machine.pinWords(id)
      let position = machine.unpin(
        words.lowerBound + done..<words.upperBound, record.isGet ? .get : .pin,
        limit: pace == .slice ? 1 << 20 : 1, batched: device.unpinsInBatches(machine),
        dirty: held.isWrite, &costs)
      done = position - words.lowerBound
      guard position == words.upperBound else { return .running }
      machine.removePin(id)
    }
    var result = DeviceUnmapOutcome(pages: held.pages, costs: costs)
    if device.kind.isVFIO {
      // Each page is looked up, and the first of the next run once more, where the run breaks.
      result.lookups = device.hasFineSuperpages ? held.runs : held.pages + held.runs - 1
      result.iommuUnmaps = device.hasFineSuperpages ? 1 : held.runs
    } else if device.kind == .iommufd {
      result.iommuUnmaps = 1
    }
    switch device.kind {
    case .rdma: machine.charge(device.space, pinned: -held.charged)
    case .iommufd: machine.charge(device.space, locked: -held.charged, pinned: -held.charged)
    case .ioUring: machine.devices.userLockedPages -= held.charged
    default: machine.charge(device.space, locked: -held.charged)
    }
    machine.devices.attachments[attachment].mappings.remove(at: index)
    outcome = result
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    Step("d3", "unpin_user_pages", "give back the next pages of mapping \(mapping)")
  }

  /// A signal does not stop it: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}
