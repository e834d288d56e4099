// Invariant: the mappings before `next` are given back; `current` is the one that is on its way.

public import MemoryModel
internal import MemoryOperations

/// Takes a range of its addresses, or one mapping, away from a device.
///
/// Kernel: `vfio_dma_do_unmap()`, `mm_iommu_put()`.
public struct DeviceRelease: ExplorableOperation {
  /// What is to go.
  public enum Target: Sendable, Hashable {
    /// A range of iova, in pages.
    case range(Range<Int>)
    /// One mapping; of a registered region one user.
    case mapping(Int)
  }

  public enum Outcome: Sendable, Hashable {
    case done(DeviceUnmapOutcome)
    case refused(Refusal)
  }

  public private(set) var outcome: Outcome?
  private let attachment: Int
  private let target: Target
  private var mappings: [Int]?
  private var next = 0
  private var current: DeviceUnmap?
  private var total = DeviceUnmapOutcome(pages: 0, costs: OperationCosts())

  public init(attachment: Int, _ target: Target) {
    self.attachment = attachment
    self.target = target
  }

  public var summary: CallSummary? {
    switch outcome {
    case .done(let total): CallSummary("\(total.pages) pages", key: total)
    case .refused(let refusal): CallSummary(refusal)
    case nil: nil
    }
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard let mappings else {
      find(&machine)
      return outcome == nil ? .running : .finished
    }
    guard next < mappings.count else {
      outcome = .done(total)
      return .finished
    }
    var work = current ?? DeviceUnmap(attachment: attachment, mapping: mappings[next])
    current = nil
    _ = work.advance(&machine, pace)
    guard let end = work.outcome else {
      current = work
      return .running
    }
    next += 1
    total.pages += end.pages
    total.lookups += end.lookups
    total.iommuUnmaps += end.iommuUnmaps
    total.costs += end.costs
    if next < mappings.count { return .running }
    outcome = .done(total)
    return .finished
  }

  private mutating func find(_ machine: inout Machine) {
    switch target {
    case .mapping(let id):
      let isRegion = machine.devices.attachment(attachment)?.kind == .spapr
      let isLast =
        !isRegion || machine.releaseRegistration(attachment: attachment, mapping: id)
      mappings = isLast ? [id] : []
    case .range(let iova):
      switch machine.mappingsToUnmap(attachment: attachment, iova: iova) {
      case .failure(let refusal): outcome = .refused(refusal)
      case .success(let found): mappings = found.map(\.id)
      }
    }
    if mappings?.isEmpty == true { outcome = .done(total) }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if let current { return current.nextStep(machine) }
    guard let mappings, next < mappings.count else {
      return Step("d0", "vfio_dma_do_unmap", "find what is mapped there")
    }
    return DeviceUnmap(attachment: attachment, mapping: mappings[next]).nextStep(machine)
  }

  /// A signal does not stop it: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}
