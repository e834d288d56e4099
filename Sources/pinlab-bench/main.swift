import LuaBridge
import MemoryLua
import MemoryModel
import Recordings

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

// Every row is measured several times in one run and printed with its target. The program reports; it
// never fails for slowness.

/// Whether to count the processor time of this thread instead of the time that passes: on a computer
/// that others use, too.
let countsProcessor = CommandLine.arguments.contains("--cpu")

func seconds(_ body: () throws -> Void) rethrows -> Double {
  if countsProcessor {
    let before = processorSeconds()
    try body()
    return processorSeconds() - before
  }
  let clock = ContinuousClock()
  let parts = try clock.measure(body).components
  return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
}

private func processorSeconds() -> Double {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

func best(of runs: Int, _ body: () throws -> Void) rethrows -> Double {
  var best = Double.infinity
  for _ in 0..<runs { best = min(best, try seconds(body)) }
  return best
}

/// Resident memory of this process in MiB, from the second field of /proc/self/statm.
func resident() -> Double {
  let file = unsafe open("/proc/self/statm", O_RDONLY)
  guard file >= 0 else { return 0 }
  defer { close(file) }
  var bytes = [UInt8](repeating: 0, count: 256)
  let got = unsafe read(file, &bytes, bytes.count)
  let fields = String(decoding: bytes.prefix(max(0, got)), as: UTF8.self).split(separator: " ")
  return Double(fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * 4096 / 1_048_576
}

/// Seconds from starting the pinlab beside this program to its end; nil when it is not there.
func startUp() -> Double? {
  let folder = CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false)
  let program = folder.dropLast().joined(separator: "/") + "/pinlab"
  guard unsafe access(program, X_OK) == 0 else { return nil }
  return best(of: 10) {
    var process: pid_t = 0
    let words = [program, "-e", ""]
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    if unsafe posix_spawn(&process, program, nil, nil, &arguments, environ) == 0 {
      waitpid(process, nil, 0)
    }
    unsafe arguments.forEach { unsafe free($0) }
  }
}

func configuration(_ bytes: Int) throws -> MachineConfiguration {
  var configuration = MachineConfiguration()
  try configuration.layOut(bytesPerNode: [bytes])
  return configuration
}

/// Pages in runs, as a task that faults in hundreds of GiB takes them and gives them back.
func benchmarkRuns() throws {
  let gibibytes = isSmoke ? 1 : 64
  let count = gibibytes << 18
  func measure(_ name: String, cma: Int, step: Int) throws {
    var configuration = try configuration(gibibytes << 30 + gibibytes << 29)
    if cma > 0 { configuration.cmaAreas = [.init(name: "reserved", pages: cma)] }
    var machine = try Machine.boot(configuration)
    machine.expectDenseUse(of: PFNRange(0, machine.frames.count))
    var runs: [PFNRun] = []
    for pass in ["first touch", "again"] {
      runs.removeAll()
      let allocation = seconds {
        var left = count
        while left > 0 {
          _ = machine.allocateRuns(count: min(left, step), gfp: .highUserMovable, into: &runs)
          left -= step
        }
      }
      let freeing = try seconds { try machine.freeRuns(runs) }
      row(
        "\(name), \(pass): allocate, a page", allocation / Double(count) * 1e9, " ns", digits: 2,
        .atMost(8))
      row(
        "  free, \(runs.count) runs, a page", freeing / Double(count) * 1e9, " ns", digits: 2,
        .atMost(12))
    }
  }
  try measure("\(gibibytes) GiB in runs", cma: 0, step: 1 << 20)
  try measure("\(gibibytes) GiB, 512 at a time", cma: 0, step: 512)
  try measure("\(gibibytes) GiB, CMA in turns, 512 at a time", cma: count, step: 512)
  // What the bytes alone cost: 4 of state and 8 of links a page.
  var words = [UInt32](repeating: 0, count: 1 << 20)
  let loop = best(of: 5) {
    for index in words.indices { words[index] = UInt32(truncatingIfNeeded: index) }
  }
  row(
    "  a loop that stores 12 bytes", loop / Double(words.count) * 3e9, " ns", digits: 2, .baseline)
}

final class Probe {}

/// An object with one method that checks one argument, as the plain C one does.
let probe = LuaLibrary(
  "probe", doc: "For the benchmark.",
  types: [
    LuaType(
      "probe", Probe.self, doc: "For the benchmark.",
      methods: [
        LuaFunction(
          "method", .positional, [LuaParameter("order", .integer(0...10))], doc: "1 << order"
        ) { call in call.returns(1 << call.integer(0)) }
      ])
  ],
  functions: [
    LuaFunction("probe", doc: "Makes one.") { call in call.returns(LuaHandle("probe", Probe())) }
  ])

let isSmoke = CommandLine.arguments.contains("--smoke")

let words = CommandLine.arguments.dropFirst().filter { !$0.hasPrefix("-") }
/// GiB of the guest: the number among the arguments.
let guestSize = words.compactMap { Int($0) }.first ?? (isSmoke ? 1 : 300)

let usage = """
  usage: pinlab-bench [options] [GiB of the guest] [folder of recordings]

    (no option)    every row, boot and Lua first
    --guest [ROWS] the rows of a guest; ROWS are \(GuestRows.allCases.map(\.rawValue).joined(separator: ", "))
    --contiguous   cma_alloc, and the search of an area
    --races        orders of steps, and all of Scripts/races
    --cpu          processor time of this thread instead of the time that passes
    --smoke        small sizes, to see that every row runs

  A row: what, measured, target, measured / target, and whether the target is met. The guest has 300
  GiB unless a number says otherwise. Start it in the project's folder.
  """

do {
  if CommandLine.arguments.contains(where: { $0 == "--help" || $0 == "-h" }) {
    print(usage)
    exit(0)
  }
  let known = ["--guest", "--contiguous", "--races", "--cpu", "--smoke"]
  if let wrong = CommandLine.arguments.dropFirst().first(where: {
    $0.hasPrefix("-") && !known.contains($0)
  }) {
    print("pinlab-bench: unknown option \(wrong)\n\(usage)")
    exit(2)
  }
  if CommandLine.arguments.contains("--contiguous") {
    try benchmarkContiguous()
    try benchmarkAreaSearch()
    Tally.printSummary()
    exit(0)
  }
  if CommandLine.arguments.contains("--races") {
    benchmarkRaces()
    Tally.printSummary()
    exit(0)
  }
  if CommandLine.arguments.contains("--guest") {
    let chosen = words.compactMap { GuestRows(rawValue: $0) }
    if chosen.isEmpty { try benchmarkFork() }
    try benchmarkGuest(gib: guestSize, chosen.isEmpty ? GuestRows.allCases : chosen)
    Tally.printSummary()
    exit(0)
  }
  let terabyte = try configuration(1 << 40)
  let before = resident()
  var after = 0.0
  let boot = try best(of: isSmoke ? 1 : 5) {
    let machine = try Machine.boot(terabyte)
    after = max(after, resident())
    precondition(machine.zoneCount > 0)
  }
  row("boot of a 1 TiB machine", boot * 1000, " ms", .atMost(20))
  row("  resident for it", after - before, " MiB", .atMost(20))

  if let start = startUp() {
    row("pinlab -e ''", start * 1000, " ms", .atMost(10))
  }

  let rounds = isSmoke ? 10_000 : 2_000_000
  var machine = try Machine.boot(try configuration(8 << 30))
  var sum = 0
  let pair = try best(of: 3) {
    for _ in 0..<rounds {
      if case .page(let pfn) = machine.allocatePages(order: 0, gfp: .kernel) {
        sum &+= pfn.index
        try machine.freePages(pfn, order: 0)
      }
    }
  }
  row(
    "alloc_pages + free_pages, per-CPU list, from Swift", pair / Double(rounds) * 1e9, " ns",
    .open)

  try benchmarkRuns()

  let session = LuaSession { _ in }
  session.registerPlainC()
  session.register(MemoryLibrary.library(MemoryContext()))
  session.register(probe)
  /// Nanoseconds a round of a Lua loop, the empty loop subtracted.
  func loop(_ body: String, _ rounds: Int, setUp: String = "") -> Double {
    func run(_ body: String) -> Double {
      best(of: 5) {
        let outcome = session.run("\(setUp)\nfor i = 1, \(rounds) do \(body) end")
        if let error = outcome.failure { print(error.message) }
      }
    }
    return max(0, run(body) - run("")) / Double(rounds) * 1e9
  }
  let calls = isSmoke ? 1000 : 2_000_000
  let plain = loop("o:method(3)", calls, setUp: "local o = plain_object()")
  let ours = loop("o:method(3)", calls, setUp: "local o = probe()")
  row("Lua method call, plain C", plain, " ns", .baseline)
  row(
    "Lua method call into Swift", ours / plain, " x", .atMost(2),
    shown: "\(fixed(ours, 1)) ns = \(fixed(ours / plain, 2)) x")
  let allocations = isSmoke ? 100 : 300_000
  let fromLua = loop(
    "m:free_pages(m:alloc_pages(0))", allocations, setUp: "local m = machine{ ram = '8G' }")
  row("alloc_pages + free_pages from Lua", fromLua, " ns", digits: 0, .open)

  // A guest of 300 GiB in huge pages, and one of 8 GiB in small ones.
  for (isHuge, guest) in [(true, 300 << 18), (false, 8 << 18)] {
    let pages = isSmoke ? 1 << 14 : guest
    var host = try Machine.boot(try configuration(pages << 12 + 4 << 30))
    guard let space = host.createSpace(name: "guest"),
      case .success(let start) = host.mapArea(space, pages: pages, [.read, .write], .anonymous)
    else { continue }
    let advice: MemoryAdvice = isHuge ? .hugePage : .noHugePage
    _ = host.advise(space, start..<start + pages, advice)
    // The second round finds the model's own tables touched.
    for round in ["first", "again"] {
      let fill = seconds { _ = host.faultRange(space, start..<start + pages, .write) }
      let drop = seconds { _ = host.advise(space, start..<start + pages, .dontNeed) }
      let unit = isHuge ? " ms" : " ns"
      func value(_ seconds: Double) -> Double {
        isHuge ? seconds * 1000 : seconds / Double(pages) * 1e9
      }
      row(
        "populate \(isHuge ? "300 GiB in 2 MiB pages" : "8 GiB in 4 KiB pages, a page"), \(round)",
        value(fill), unit, isHuge ? .atMost(50) : .atMost(20))
      row("  MADV_DONTNEED of it", value(drop), unit, .open)
    }
  }

  var source = try Machine.boot(try configuration(16 << 30))
  var held = 0
  for _ in 0..<(isSmoke ? 1000 : 2 << 20) {
    if case .page = source.allocatePages(order: 0, gfp: .highUserMovable) { held += 1 }
  }
  let fork = try best(of: 3) { _ = try source.fork() }
  row("fork of 16 GiB, \(held >> 18) GiB held in 4 KiB pages", fork * 1000, " ms", .atMost(50))

  try benchmarkContiguous()
  try benchmarkAreaSearch()
  benchmarkRaces()
  try benchmarkFork()
  try benchmarkGuest(gib: guestSize, GuestRows.allCases)

  if let folder = words.first(where: { Int($0) == nil }) {
    var operations = 0
    var spent = 0.0
    for letter in ["A-alloc-01-mixed", "A-alloc-11-steal", "A-alloc-15-watermark", "B-pcp-05"] {
      let recording = try Recording(path: "\(folder)/\(letter).jsonl.gz")
      var replayer = try Replayer(recording)
      try replayer.run()
      operations += replayer.report.operations
      spent += replayer.report.seconds
    }
    row(
      "replay, JSON apart, operations", Double(operations) / spent / 1e6, " M/s", digits: 2,
      .atLeast(1))
  }
  precondition(sum != 1)
  Tally.printSummary()
} catch {
  print("pinlab-bench: \(error)")
  exit(1)
}
