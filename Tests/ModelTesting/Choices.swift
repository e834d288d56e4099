// Invariant: `taken` holds the choices of the current run as far as it came, and every run repeats
// the one before up to the last choice that can still be raised, then raises it. So the runs are
// the leaves of the tree of all choices, from left to right, each visited once.

/// The choices of one run of ``forEveryChoice(_:)``.
public struct Choices {
  private var taken: [(value: Int, bound: Int)] = []
  private var next = 0

  fileprivate init() {}

  /// A number in `0 ..< bound`; over all runs, each of them.
  public mutating func choose(below bound: Int) -> Int {
    precondition(bound > 0, "nothing to choose from")
    if next == taken.count { taken.append((0, bound)) }
    precondition(taken[next].bound == bound, "the test body is not deterministic")
    next += 1
    return taken[next - 1].value
  }

  /// An element of `options`; over all runs, each of them.
  public mutating func choose<Element>(from options: [Element]) -> Element {
    options[choose(below: options.count)]
  }

  /// Every choice so far, as a failure message gives it.
  public var description: String {
    "choices [" + taken.prefix(next).map { "\($0.value)" }.joined(separator: " ") + "]"
  }

  fileprivate mutating func advance() -> Bool {
    taken.removeLast(taken.count - next)
    next = 0
    while let last = taken.last {
      if last.value + 1 < last.bound {
        taken[taken.count - 1].value += 1
        return true
      }
      taken.removeLast()
    }
    return false
  }
}

/// Runs `body` once for every combination of the choices that it makes.
///
/// ```
/// let runs = forEveryChoice { choices in
///   let flags = choices.choose(below: 2)
///   let order = choices.choose(from: [0, 9, 10])
/// }
/// // runs == 6
/// ```
///
/// - Returns: The number of runs.
@discardableResult
public func forEveryChoice(_ body: (inout Choices) throws -> Void) rethrows -> Int {
  var choices = Choices()
  var runs = 0
  repeat {
    try body(&choices)
    runs += 1
  } while choices.advance()
  return runs
}
