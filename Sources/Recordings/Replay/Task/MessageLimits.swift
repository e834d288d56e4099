/// Which messages the kernel leaves out because it has printed too many of their kind.
///
/// The model has no clock and prints all; a recording has the time. Kernel: `___ratelimit()`,
/// lib/ratelimit.c.
struct MessageLimits {
  /// One `struct ratelimit_state`.
  fileprivate struct Limit {
    /// What the messages contain that share it.
    let texts: [String]
    /// The function that counts what it leaves out.
    let function: String
    let burst: Int
    /// In ticks.
    let interval: Int
    var begin: Int?
    var printed = 0
    var missed = 0
  }

  /// HZ = 250.
  private static let tick = 4_000_000

  private var limits = [
    Limit(
      texts: [": alloc failed, req-size: "], function: "__cma_alloc", burst: 10, interval: 5 * 250),
    Limit(
      texts: ["migrating pfn ", "failed to isolate pfn "], function: "do_migrate_range", burst: 10,
      interval: 5 * 250),
    Limit(
      texts: ["page allocation failure: "], function: "warn_alloc", burst: 1, interval: 10 * 250),
  ]

  /// The lines of these that are printed, at a time in ns.
  mutating func filter(_ lines: [String], at time: Int) -> [String] {
    var printed: [String] = []
    for line in lines {
      guard let index = limits.firstIndex(where: { $0.texts.contains { line.contains($0) } }) else {
        printed.append(line)
        continue
      }
      let suppressed = limits[index].missed
      let isPrinted = limits[index].admit(at: time / Self.tick)
      if limits[index].missed < suppressed {
        printed.append("\(limits[index].function): \(suppressed) callbacks suppressed")
      }
      if isPrinted { printed.append(line) }
    }
    return printed
  }
}

extension MessageLimits.Limit {
  mutating func admit(at tick: Int) -> Bool {
    if let begin, tick > begin + interval {
      missed = 0
      self.begin = tick
      printed = 0
    }
    if begin == nil { begin = tick }
    if printed < burst {
      printed += 1
      return true
    }
    missed += 1
    return false
  }
}
