// Invariant: `frames` from `placed` on are allocated and mapped nowhere; the others belong to the
// guest.

public import MemoryModel
import MemoryOperations

/// Fills a guest's anonymous RAM with single frames in random order.
///
/// No sequence of faults gives such a layout at once; a machine that has run for months does.
public struct ShuffledPlacement: Operation {
  public private(set) var outcome: Result<Int, Refusal>?
  private let space: Int
  private let pages: Range<Int>
  private var generator: SplitMix64
  private var frames: [PFN] = []
  private var isShuffled = false
  private var placed = 0
  private var region: Int?

  static let slicePages = 1 << 16

  /// The outcome is how many pages were placed, or ENOMEM with none.
  public init(space: Int, pages: Range<Int>, seed: UInt64) {
    self.space = space
    self.pages = pages
    generator = SplitMix64(seed)
    frames.reserveCapacity(pages.count)
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    let step = pace == .slice ? Self.slicePages : 1
    if frames.count < pages.count {
      var runs: [PFNRun] = []
      let wanted = min(step, pages.count - frames.count)
      let refusal = machine.allocateRuns(count: wanted, gfp: .zeroedUserPage, into: &runs)
      for run in runs {
        for index in 0..<run.count { frames.append(run[index]) }
      }
      if let refusal {
        giveBack(&machine)
        outcome = .failure(refusal)
        return .finished
      }
      return .running
    }
    if !isShuffled {
      for index in stride(from: frames.count - 1, to: 0, by: -1) {
        frames.swapAt(index, generator.below(index + 1))
      }
      isShuffled = true
      return .running
    }
    let end = min(placed + step, frames.count)
    let done = machine.installAnonymous(
      space, page: pages.lowerBound + placed, Array(frames[placed..<end]))
    placed += done
    if placed < end {
      giveBack(&machine)
      outcome = .failure(Refusal(.ENOMEM, "no memory for the guest's page tables", rule: "P2.10"))
      return .finished
    }
    if placed < frames.count { return .running }
    machine.drainLRU(cpu: machine.currentCPU)
    outcome = .success(placed)
    return .finished
  }

  /// Frees the frames that are not mapped yet.
  private mutating func giveBack(_ machine: inout Machine) {
    for pfn in frames[placed...] { try? machine.freePages(pfn, order: 0) }
    frames.removeLast(frames.count - placed)
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    frames.count < pages.count
      ? Step("s1", "alloc_pages", "allocate frame \(frames.count + 1) of \(pages.count)")
      : Step("s2", "set_pte_at", "map page \(placed + 1) of \(pages.count)")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if outcome != nil { return }
    giveBack(&machine)
    outcome = .failure(Refusal(.EINTR, "a fatal signal ended it", rule: "P2.13"))
  }
}

/// A small generator with the same numbers everywhere (Steele, Lea and Flood 2014).
struct SplitMix64: Sendable {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  /// A number from 0 to below `bound`.
  mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }
}
