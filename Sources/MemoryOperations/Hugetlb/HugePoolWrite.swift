// Invariant: `resize` is there from the first step to the last; its pages belong to nobody else.

public import MemoryModel

/// A write to nr_hugepages, a block a step.
///
/// Kernel: `nr_hugepages_store_common()`, `set_max_huge_pages()`, mm/hugetlb.c.
public struct HugePoolWrite: ExplorableOperation {
  public enum Outcome: Sendable, Hashable {
    /// The pages that the pool has then.
    case done(Int)
    /// What no user may write, in words.
    case misuse(String)
  }

  public private(set) var outcome: Outcome?
  private let order: Int
  private let count: Int
  private let node: Int?
  private var resize: HugePoolResize?

  static let sliceBlocks = 256

  public init(order: Int, count: Int, node: Int?) {
    self.order = order
    self.count = count
    self.node = node
  }

  public var summary: CallSummary? {
    switch outcome {
    case .done(let pages): CallSummary("\(pages) pages", key: pages)
    case .misuse(let message): CallSummary(Refusal(.EINVAL, message, rule: "P2.32"))
    case nil: nil
    }
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard var work = resize else {
      begin(&machine)
      return outcome == nil ? .running : .finished
    }
    resize = nil
    for _ in 0..<(pace == .slice ? Self.sliceBlocks : 1) {
      guard machine.advance(&work) != .done else {
        end(machine)
        return .finished
      }
    }
    resize = work
    return .running
  }

  private mutating func begin(_ machine: inout Machine) {
    do throws(MemoryError) {
      resize = try machine.beginHugePoolResize(order: order, count: count, node: node)
    } catch {
      outcome = .misuse(error.message)
    }
  }

  private mutating func end(_ machine: borrowing Machine) {
    outcome = .done(machine.hugePool(order: order)?.total ?? 0)
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if outcome != nil { return }
    if var work = resize { machine.interrupt(&work) }
    resize = nil
    end(machine)
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    resize == nil
      ? Step("h0", "set_max_huge_pages", "set the pool's size to \(count)")
      : Step("h1", "set_max_huge_pages", "take the next page into the pool, or out of it")
  }
}
