import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

// One line a row, always of the same five parts: what, measured, target, how much of the target is
// used, whether it is met. Whoever reads two runs beside each other finds the same words in the same
// columns.

/// What a measured value is judged by, in the row's own unit.
enum Target {
  case atMost(Double)
  case atLeast(Double)
  /// Nothing was promised; the text says what the row is there for.
  case none(String)

  static let baseline = Target.none("baseline")
  static let open = Target.none("no target")
}

/// How the rows that were printed so far compare with their targets.
enum Tally {
  private struct State {
    var met = 0
    var missed: [String] = []
  }

  private static let state = Mutex(State())

  static func count(_ line: String, isMet: Bool) {
    state.withLock { state in
      if isMet { state.met += 1 } else { state.missed.append(line) }
    }
  }

  static func printSummary() {
    let (met, missed) = state.withLock { ($0.met, $0.missed) }
    print("-- \(met) of \(met + missed.count) targets met" + (missed.isEmpty ? "" : "; missed:"))
    for line in missed { print(line) }
  }
}

/// Prints a row.
///
/// - Parameters:
///   - value: What was measured and is compared with the target.
///   - unit: Of both, with its space: `" ns"`.
///   - shown: What is printed instead of the value alone, where a value stands beside a baseline.
///   - note: What the same thing costs elsewhere.
func row(
  _ name: String, _ value: Double, _ unit: String, digits: Int = 1, _ target: Target,
  shown: String? = nil, note: String = ""
) {
  let measured = shown ?? fixed(value, digits) + unit
  var line = name.padded(to: 56) + " " + measured.padded(to: 18, left: true)
  func judge(_ sign: String, _ limit: Double, isMet: Bool) {
    let ratio = limit == 0 ? 0 : value / limit
    line += "   " + "\(sign) \(short(limit))\(unit)".padded(to: 14)
    line += fixed(ratio, 2).padded(to: 8, left: true) + "  " + (isMet ? "met" : "MISSED")
    Tally.count(line, isMet: isMet)
  }
  switch target {
  case .atMost(let limit): judge("<=", limit, isMet: value <= limit)
  case .atLeast(let limit): judge(">=", limit, isMet: value >= limit)
  case .none(let text): line += "   (\(text))"
  }
  if !note.isEmpty { line += "   " + note }
  print(line)
  fflush(nil)
}

/// A number with so many digits behind the point.
func fixed(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let rounded = (value * scale).rounded() / scale
  return digits == 0 ? "\(Int(rounded))" : "\(rounded)"
}

/// A limit without a needless point.
private func short(_ value: Double) -> String {
  value == value.rounded() ? "\(Int(value))" : "\(value)"
}

extension String {
  fileprivate func padded(to width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - count))
    return left ? space + self : self + space
  }
}
