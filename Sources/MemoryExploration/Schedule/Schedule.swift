// Invariant: two neighbouring runs are of different tasks, and no run is empty.

/// An order in which tasks took their steps.
///
/// "1*12 2*30 1*5" is twelve steps of task 1, thirty of task 2, then five of task 1. What is not said
/// is run to the end, the lowest task that can go on first.
public struct Schedule: Hashable, Sendable, CustomStringConvertible {
  public struct Run: Hashable, Sendable {
    /// From 0 on.
    public var task: Int
    public var steps: Int
  }

  public private(set) var runs: [Run] = []

  public init() {}

  /// The schedule of single steps by their tasks.
  public init(_ path: some Sequence<UInt8>) {
    for task in path { append(Int(task)) }
  }

  public mutating func append(_ task: Int) {
    if let last = runs.indices.last, runs[last].task == task {
      runs[last].steps += 1
    } else {
      runs.append(Run(task: task, steps: 1))
    }
  }

  public var steps: Int { runs.reduce(0) { $0 + $1.steps } }

  public var description: String {
    runs.map { "\($0.task + 1)*\($0.steps)" }.joined(separator: " ")
  }

  /// Reads what ``description`` writes.
  ///
  /// - Returns: Nil when it is no schedule of `tasks` tasks.
  public init?(_ text: String, tasks: Int) {
    for word in text.split(separator: " ") {
      let parts = word.split(separator: "*", omittingEmptySubsequences: false)
      guard parts.count == 2, let task = Int(parts[0]), (1...max(1, tasks)).contains(task),
        let steps = Int(parts[1]), (1...1_000_000).contains(steps)
      else { return nil }
      if let last = runs.indices.last, runs[last].task == task - 1 {
        runs[last].steps += steps
      } else {
        runs.append(Run(task: task - 1, steps: steps))
      }
    }
  }
}
