// Invariant: an operation is a plain value beside the machine that it works on. Copying both
// continues twice from the same moment; nothing of it hides in a closure, a thread or a stack.

/// Something that a task does to a machine, in atomic steps (rules P10.1 to P10.6).
public protocol Operation {
  associatedtype Outcome

  /// What came of it, once it is finished.
  var outcome: Outcome? { get }

  /// Does the next step, or as many as belong to one slice.
  ///
  /// After a step every count and list is consistent, so that another task may run in between.
  mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress

  /// What the next step is about to do.
  func nextStep(_ machine: borrowing Machine) -> Step

  /// What it holds between two steps and no table tells, for ``Machine/checkMemory(_:)``.
  func holdings(_ machine: borrowing Machine) -> Holdings

  /// Ends it as a fatal signal would: it takes back what it holds and finishes with an error.
  mutating func interrupt(_ machine: inout Machine)
}

/// How much ``Operation/advance(_:_:)`` does at once.
public enum Pace: Sendable {
  /// One atomic step, for those who watch or who choose interleavings.
  case step
  /// Up to some milliseconds of work: whole tables and leaves at once, the same end state.
  case slice
}

public enum Progress: Sendable, Equatable {
  case running
  /// It cannot go on before another task does something.
  case waiting(Wait)
  case finished
}

/// What an operation waits for.
public enum Wait: Sendable, Hashable {
  /// A folio's lock, as a fault on a migration entry does (rule P2.14).
  case folio(PFN)
  /// mmap_lock of a process.
  case mmapLock(Int)
  /// `cma_mutex`, which another `cma_alloc()` holds.
  case cmaMutex
  /// Folios that others have isolated, too many for another scan at this frame.
  case isolation(PFN)
  /// The mutex of a device, by its number.
  case device(Int)

  public var description: String {
    switch self {
    case .folio(let head): "the lock of the folio at \(head)"
    case .mmapLock(let space): "mmap_lock of process \(space)"
    case .cmaMutex: "cma_mutex"
    case .device(let id): "the mutex of device \(id)"
    case .isolation(let pfn): "isolated folios to be put back before the scan at \(pfn)"
    }
  }
}

/// An atomic step that is about to happen.
public struct Step: Sendable, Equatable {
  /// The step's letter and number in rules P10.1 to P10.6, such as "g6".
  public var id: String
  /// The kernel function it belongs to.
  public var function: String
  /// What it is about to read or write.
  public var text: String

  public init(_ id: String, _ function: String, _ text: String) {
    self.id = id
    self.function = function
    self.text = text
  }
}

/// An operation whose states can be told apart, so that a search knows where it was before.
public protocol ExplorableOperation: Operation, Hashable, Sendable {
  /// Rounds that it went through in vain, waiting for another task without sleeping (rule P3.43).
  var idleRounds: Int { get }
  /// What it came to, for those who know no more of it than that it is an operation; nil before its end.
  var summary: CallSummary? { get }
}

extension ExplorableOperation {
  public var idleRounds: Int { 0 }
  public var summary: CallSummary? { nil }
}

extension Operation {
  public func holdings(_ machine: borrowing Machine) -> Holdings { Holdings() }

  /// Runs to the end.
  ///
  /// - Returns: Nil when it waits for something that no other task will do.
  @discardableResult
  public mutating func run(_ machine: inout Machine) -> Outcome? {
    while true {
      switch advance(&machine, .slice) {
      case .running: continue
      case .finished: return outcome
      case .waiting: return nil
      }
    }
  }
}

/// What a call came to, in a word.
public struct CallSummary: Sendable, Hashable {
  public let text: String
  public let refusal: Refusal?
  /// Stands for all that its caller is told, so that equal results are known.
  public let key: Int

  public init(_ text: String, key: some Hashable) {
    self.text = text
    self.key = key.hashValue
    refusal = nil
  }

  public init(_ refusal: Refusal) {
    text = refusal.errno.name
    key = 0
    self.refusal = refusal
  }
}
