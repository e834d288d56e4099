// Invariant: the pages that it has so far are in its record, also when it is interrupted.

public import MemoryModel

/// Allocates page after page until as much is gone as was asked for, or nothing is left that can be
/// reclaimed and nobody that can be killed.
public struct PressureOperation: Operation {
  /// The record's number.
  public private(set) var outcome: Int?
  private let pages: Int
  private let gfp: GFPFlags
  private var record: Int?
  private var done = 0

  /// Between two of them kswapd may run, as it does beside a task on another CPU.
  static let slicePages = 256

  public init(pages: Int, gfp: GFPFlags) {
    self.pages = pages
    self.gfp = gfp
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    let id = record ?? machine.addPressure(pages: pages, gfp: gfp)
    record = id
    let count = min(pages - done, pace == .slice ? Self.slicePages : 1)
    let hasMore = machine.press(id, count: count)
    done += count
    machine.runBackground()
    machine.settlePressure(id)
    if hasMore, done < pages { return .running }
    outcome = id
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    Step("a1", "__alloc_pages_noprof", "allocate page \(done) of \(pages)")
  }

  public mutating func interrupt(_ machine: inout Machine) { outcome = record ?? 0 }
}
