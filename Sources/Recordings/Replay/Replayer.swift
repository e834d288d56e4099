// Invariant: the machine is set from the recording exactly once, at the first full dump. From there
// on the recording supplies requests (who asked for what, in which order) and is otherwise only
// compared with: no page, list or counter is copied from it.

public import MemoryModel

/// Runs the operations of a recording on the model and compares everything that they yield.
public struct Replayer: ~Copyable {
  private let recording: Recording
  public internal(set) var machine: Machine
  public internal(set) var report: ReplayReport
  var task: RecordedTask?
  /// Two processes run, and one of them faults without leaving more than counts.
  var hasOtherProcess = false
  var choices = Choices()
  var limits = MessageLimits()
  /// Blocks that interrupts of the record free to the buddy, and whether before the running batch.
  var pastLists: [Int: Bool] = [:]
  /// What interrupts freed up to the next dump, see ``InterruptFrees``.
  var interruptFrees = InterruptFrees()
  private var recent: [(index: Int, command: String)] = []
  private var next: Int
  /// Whether the statistics worker runs once a second, or was put to sleep by the script.
  var hasStatisticsWorker: Bool

  /// khugepaged was started and has not drained the LRU batches for its first scan yet.
  var awaitsScan = false
  /// Since the last dump: the statistics worker ran, which it does once a second.
  var workerRan = false
  /// The timer tick (HZ = 250) of the last operation.
  var lastTick = 0

  /// Combinations of open choices tried between two dumps before giving up.
  private static let attemptLimit = 20_000

  /// Events and operations with which something starts that the model cannot do yet.
  private static let boundaries: [UInt16: String] = [
    RecordingEvent.key("cs"): "cma_alloc starts",
    RecordingEvent.key("ms"): "migration starts",
  ]
  /// Those of them that belong to a contiguous allocation or to memory that goes offline.
  private static let ownEvents: Set<UInt16> = [RecordingEvent.key("cs"), RecordingEvent.key("ms")]
  static let allocation = RecordingEvent.key("a")
  static let free = RecordingEvent.key("f")

  private func boundary(_ record: RecordingRecord) -> String? {
    switch record.op {
    case "alloc", "free", "touch", "madvise", "mmap", "munmap", "pin", "unpin", "mfpin", "pfns",
      "page",
      "tempref", "putref", "tempref_ns", "lruiso", "lruput", "lruiso_ms", "sel", "drain_pcp",
      "drain_lru", "drain_lru_local", "blocks", "cpu", "sleep_ms", "trace", "note", "error", "idle":
      break
    case "cma_alloc", "cma_release", "acr", "acr_free":
      if record.op == "acr", record.mt != .number(1) && record.mt != .number(4) {
        return "alloc_contig_range with another migratetype than Movable and CMA is not modelled"
      }
    case "offline", "online": break
    case "user": break
    default: return "\(record.op) is not modelled yet"
    }
    for event in record.ev ?? [] where event.key != Self.allocation && event.key != Self.free {
      if Self.ownEvents.contains(event.key),
        Self.contiguousOperations.contains(record.op) || Self.hotplugOperations.contains(record.op)
      {
        continue
      }
      if event.key == PageEvents.start, isTaskOperation(record) { continue }
      if let reason = Self.boundaries[event.key] { return reason }
    }
    return nil
  }

  public init(_ recording: Recording) throws(RecordingError) {
    let start = try Self.firstFullDump(recording)
    let dump = try recording.record(start)
    let image = try MachineImage(dump, of: recording)
    let machine = try Self.restore(image, recording)
    var sleeps = false
    for index in 0..<start {
      let record = try recording.record(index)
      if record.cmd?.hasPrefix("write /proc/sys/vm/stat_interval 1000000") == true { sleeps = true }
    }
    self.recording = recording
    self.machine = machine
    self.machine.expectRecordedThreads(
      kswapdOrder: dump.sys?.kswapd_order ?? 0, failures: dump.sys?.kswapd_failures ?? 0)
    report = ReplayReport(
      file: recording.name, release: recording.header.release,
      description: recording.header.desc)
    if let boot = RecordedBoot(recording) { report.dumps.append(boot.compare(dump, image)) }
    next = start + 1
    hasStatisticsWorker = !sleeps
  }

  /// The machine of the recording's first full dump.
  public static func initialMachine(_ recording: Recording) throws(RecordingError) -> Machine {
    let dump = try recording.record(try firstFullDump(recording))
    return try restore(try MachineImage(dump, of: recording), recording)
  }

  private static func restore(
    _ image: MachineImage, _ recording: Recording
  ) throws(RecordingError) -> Machine {
    do {
      return try Machine.restore(image)
    } catch {
      throw RecordingError("\(recording.path): the first dump cannot be: \(error.message)")
    }
  }

  private static func firstFullDump(_ recording: Recording) throws(RecordingError) -> Int {
    for index in 0..<recording.count {
      let record = try recording.record(index)
      if record.pages != nil { return index }
    }
    throw RecordingError(
      "\(recording.path) holds no full dump (op \"dump\" with \"pages\"), so no machine can "
        + "start from it", isUnreplayable: true)
  }

  /// Replays to the end, or to the first operation that the model cannot follow.
  public mutating func run() throws(RecordingError) {
    while next < recording.count, report.stopped == nil, report.followsRecording {
      var segment: [RecordingRecord] = []
      var isOpen = false
      while next < recording.count {
        let record = try recording.record(next)
        next += 1
        segment.append(record)
        if Self.isDump(record) { break }
        isOpen = isOpen || leavesChoices(record)
      }
      interruptFrees = InterruptFrees(segment)
      isOpen = isOpen || !interruptFrees.unseen.isEmpty
      let clock = ContinuousClock()
      let started = clock.now
      if isOpen { try search(segment) } else { replay(segment) }
      // A child that ran the script ends behind the final dump.
      if next == recording.count, let last = segment.last, !Self.isDump(last),
        report.stopped == nil, report.followsRecording, report.dumps.last?.tag != "end"
      {
        throw RecordingError(
          "\(recording.path) ends without a final dump after \(report.operations) operations; "
            + "the file is incomplete, fetch it again")
      }
      let spent = started.duration(to: clock.now).components
      report.seconds += Double(spent.seconds) + Double(spent.attoseconds) * 1e-18
    }
  }

  private static func isDump(_ record: RecordingRecord) -> Bool {
    record.op == "dump" || record.op == "dumpfull"
  }

  /// Whether the record has a place that the recording leaves open, see ``Choices``.
  private func leavesChoices(_ record: RecordingRecord) -> Bool {
    if record.op == "cpu" || record.op == "sleep_ms" { return true }
    if Self.untracedStacks(record) > 0 || hasStatisticsWorker || awaitsScan { return true }
    if record.cmd?.contains("transparent_hugepage/enabled") == true { return true }
    return machine.cpuCount > 1
  }

  /// Replays the operations up to a dump with one combination of choices after the other.
  private mutating func search(_ segment: [RecordingRecord]) throws(RecordingError) {
    do {
      let start = try machine.fork()
      let before = report
      let recentBefore = recent
      let scanBefore = awaitsScan
      let workerBefore = hasStatisticsWorker
      let tickBefore = lastTick
      let taskBefore = task
      let limitsBefore = limits
      choices = Choices()
      var best: ReplayReport?
      for _ in 0..<Self.attemptLimit {
        replay(segment)
        if report.followsRecording {
          report.inferred += choices.taken.count
          return
        }
        if best.map({ report.reaches(beyond: $0) }) ?? true { best = report }
        machine.assign(from: start)
        report = before
        recent = recentBefore
        awaitsScan = scanBefore
        hasStatisticsWorker = workerBefore
        lastTick = tickBefore
        task = taskBefore
        limits = limitsBefore
        if !choices.advance() { break }
      }
      choices = Choices()
      replay(segment)
      if let best { report = best }
    } catch {
      throw RecordingError("\(recording.path): \(error.message)")
    }
  }

  private mutating func replay(_ segment: [RecordingRecord]) {
    if machine.cpuCount > 1 {
      // The script's task starts on any CPU, and no record says which.
      if report.operations == 0 {
        machine.run(
          onCPU: (machine.currentCPU + choices.choose(machine.cpuCount)) % machine.cpuCount)
      }
      for idle in 0..<machine.cpuCount where idle != machine.currentCPU {
        if choices.choose(2) == 1 { machine.foldStatistics(cpu: idle) }
      }
    }
    workerRan = false
    for record in segment {
      if Self.isDump(record) {
        report.dumps.append(DumpComparer.compare(record, machine))
      } else {
        step(record)
      }
      if report.stopped != nil || !report.followsRecording { return }
    }
  }

  // MARK: One operation

  mutating func step(_ record: RecordingRecord) {
    let index = record.i ?? next
    if let reason = boundary(record) {
      report.stopped = (index, reason)
      return
    }
    report.operations += 1
    if let difference = settle(record) {
      report.firstDisagreement = ReplayReport.Disagreement(
        index: index, command: record.cmd ?? record.op, recorded: difference.recorded,
        model: difference.model, before: recent.map { "\($0.index): \($0.command)" })
      return
    }
    report.agreeing += 1
    if recent.count == 5 { recent.removeFirst() }
    recent.append((index, record.cmd ?? record.op))
  }

  mutating func apply(_ record: RecordingRecord) -> Difference? {
    runTimers(before: record)
    fireTimers(before: record)
    if record.op == "user", record.cmd?.hasPrefix("child") == true { hasOtherProcess = true }
    switch record.op {
    case "drain_pcp":
      for block in interruptFrees.beforeDrain[record.i ?? -1] ?? [] {
        try? machine.freePages(PFN(block.pfn), order: block.order)
      }
      machine.drainAllPages()
    case "cpu": leaveCPU(for: record.cmd?.split(separator: " ").last.flatMap { Int($0) })
    case "sleep_ms": for cpu in 0..<machine.cpuCount { machine.foldStatistics(cpu: cpu) }
    default: break
    }
    let worker = hasStatisticsWorker && Self.drains(record) && record.op != "sleep_ms"
    let workerFirst = worker && choices.choose(2) == 0
    if worker { workerRan = true }
    if workerFirst { machine.runStatisticsWorker(cpu: machine.currentCPU) }
    if isTaskOperation(record) {
      if let difference = runTask(record) { return difference }
    } else if let difference = applyEvents(of: record) {
      return difference
    }
    if worker && !workerFirst { machine.runStatisticsWorker(cpu: machine.currentCPU) }
    switch record.op {
    case "drain_lru":
      // The other CPUs have something to do for once, and go idle again.
      for idle in 0..<machine.cpuCount where idle != machine.currentCPU {
        if choices.choose(2) == 1 { machine.foldStatistics(cpu: idle) }
      }
    case "sleep_ms" where hasStatisticsWorker:
      // Its timer is deferrable: it waits until the CPU has something else to do.
      for cpu in 0..<machine.cpuCount {
        for _ in 0..<[1, 2, 0, 3][choices.choose(4)] { machine.runStatisticsWorker(cpu: cpu) }
        if choices.choose(2) == 1 { machine.foldStatistics(cpu: cpu) }
      }
    default: break
    }
    return nil
  }

  /// What may have run between two operations without leaving a trace.
  private mutating func runTimers(before record: RecordingRecord) {
    if awaitsScan, choices.choose(2) == 1 {
      machine.drainAllLRU()
      awaitsScan = false
    }
    guard hasStatisticsWorker, record.op != "sleep_ms", let time = record.t else { return }
    let tick = time / 4_000_000
    // The worker's timer is looked at in a tick.
    if tick != lastTick, !workerRan, choices.choose(2) == 1 {
      machine.runStatisticsWorker(cpu: machine.currentCPU)
      workerRan = true
    }
    lastTick = tick
  }

  /// The script moves to another CPU; the one that it leaves goes idle and may fold its counters.
  private mutating func leaveCPU(for cpu: Int?) {
    guard let cpu, cpu < machine.cpuCount, cpu != machine.currentCPU else { return }
    for idle in 0..<machine.cpuCount where idle != cpu {
      if choices.choose(2) == 1 { machine.foldStatistics(cpu: idle) }
    }
    machine.run(onCPU: cpu)
  }

  /// Runs the page events, and among them the kernel stacks that no tracepoint shows.
  private mutating func applyEvents(of record: RecordingRecord) -> Difference? {
    let events = record.ev ?? []
    let home = machine.currentCPU
    // 4 pages, 16 KiB, for each new thread.
    var stacks = Self.untracedStacks(record)
    // A written setting takes effect before the write's own buffers are freed.
    var trailing = events.count
    while trailing > 0, events[trailing - 1].key == Self.free, events[trailing - 1].comm == nil {
      trailing -= 1
    }
    var resize: HugePoolResize?
    do throws(MemoryError) {
      resize = try beginHugeWrite(record)
    } catch {
      return (record.cmd ?? record.op, error.message)
    }
    var previousComm: String?
    for (index, event) in events.enumerated() {
      if index == trailing, let difference = writeSetting(record) { return difference }
      while stacks > 0, choices.choose(2) == 1 {
        allocateKernelStack()
        stacks -= 1
      }
      if event.comm != previousComm {
        previousComm = event.comm
        if event.comm == nil {
          machine.run(onCPU: home)
        } else if machine.cpuCount > 1 {
          machine.run(onCPU: (home + choices.choose(machine.cpuCount)) % machine.cpuCount)
        }
      }
      if resize != nil, Self.isPoolEvent(event) {
        if let difference = step(&resize!, against: event) { return difference }
      } else if let difference = apply(event, in: record) {
        return difference
      }
    }
    for _ in 0..<stacks { allocateKernelStack() }
    machine.run(onCPU: home)
    if resize != nil, let difference = finish(&resize!) { return difference }
    return trailing == events.count ? writeSetting(record) : nil
  }

  /// New threads whose stacks came from the allocator: what was counted as allocated beyond the
  /// traced pages, 4 pages each.
  ///
  /// A stack from the cache of dead threads' stacks costs none.
  static func untracedStacks(_ record: RecordingRecord) -> Int {
    guard record.d?["nr_kernel_stack"] ?? 0 > 0 else { return 0 }
    var pages = 0
    for (name, delta) in record.d ?? [:] where name.hasPrefix("pgalloc_") { pages += delta }
    for event in record.ev ?? [] where event.key == allocation && event.arguments[0] >= 0 {
      pages -= abs(event.repetition(after: 4)) << event.arguments[1]
    }
    return max(0, pages) / 4
  }

  /// Whether a kernel worker returned per-CPU pages to the buddy: the statistics worker's decay.
  private static func drains(_ record: RecordingRecord) -> Bool {
    (record.zv ?? []).contains { $0.code == "d" && $0.comm?.hasPrefix("kworker") == true }
  }

  /// Unlike that of any traced request.
  static let kernelStack: GFPFlags = [.kernel, .zero, .noWarn]

  /// `alloc_pages_bulk()` for a thread's stack.
  private mutating func allocateKernelStack() {
    for _ in 0..<4 { _ = machine.allocatePages(order: 0, gfp: Self.kernelStack) }
  }

  private mutating func apply(_ event: RecordingEvent, in record: RecordingRecord) -> Difference? {
    switch event.key {
    case Self.allocation:
      let arguments = event.arguments
      let repeats = event.repetition(after: 4)
      let order = arguments[1]
      for index in 0..<abs(repeats) {
        let recorded = arguments[0] < 0 ? -1 : arguments[0] + (index << order) * repeats.signum()
        let gfp = GFPFlags(rawValue: UInt32(arguments[2]))
        let result = machine.allocatePages(order: order, gfp: gfp)
        report.pageEvents += 1
        if (result.pfn?.index ?? -1) != recorded {
          return (describe(recorded, order, gfp), describe(result.pfn?.index ?? -1, order, gfp))
        }
      }
    case Self.free:
      let repeats = event.repetition(after: 2)
      let order = event.arguments[1]
      for index in 0..<abs(repeats) {
        let pfn = event.arguments[0] + (index << order) * repeats.signum()
        report.pageEvents += 1
        if pastLists[pfn] != nil {
          machine.freePastLists(PFN(pfn), order: order)
          continue
        }
        if record.op == "drain_pcp",
          interruptFrees.beforeDrain[record.i ?? -1]?.contains(where: { $0.pfn == pfn }) == true
        {
          continue
        }
        do {
          try machine.freePages(PFN(pfn), order: order)
        } catch {
          return ("free of 0x\(hex(pfn)) order \(order)", error.message)
        }
      }
    default: break
    }
    return nil
  }

  /// Applies `write PATH VALUE… => RESULT` of a `user` record.
  private mutating func writeSetting(_ record: RecordingRecord) -> Difference? {
    guard record.op == "user" else { return nil }
    let words = (record.cmd ?? "").split(separator: " ")
    guard words.count > 3, words[0] == "write", let end = words.firstIndex(of: "=>") else {
      return nil
    }
    let name = words[1].split(separator: "/").last ?? ""
    let value = words[2..<end].joined(separator: " ")
    if words[1].hasSuffix("transparent_hugepage/enabled") {
      let starts = value != "never" && !machine.settings.transparentHugePages
      machine.setTransparentHugePages(value != "never")
      // khugepaged begins its first scan with lru_add_drain_all(), when it gets to run.
      if starts {
        if choices.choose(2) == 1 { machine.drainAllLRU() } else { awaitsScan = true }
      }
      return nil
    }
    guard words[1].hasPrefix("/proc/sys/vm/") else { return nil }
    if name == "stat_interval" {
      hasStatisticsWorker = value != "1000000"
      return nil
    }
    guard let setting = Sysctl(rawValue: String(name)) else { return nil }
    do {
      try machine.write(setting, value)
    } catch {
      return ("\(name) = \(value)", error.message)
    }
    return nil
  }

  private func describe(_ pfn: Int, _ order: Int, _ gfp: GFPFlags) -> String {
    (pfn < 0 ? "no page" : "pfn \(pfn) (0x\(hex(pfn)))")
      + " for order \(order), \(gfp.description)"
  }

  func hex(_ value: Int) -> String { String(value, radix: 16) }

  /// `zf` holds the exact free counts of the zones that an operation changed.
  func compareFreePages(_ record: RecordingRecord) -> Difference? {
    for entry in record.zf ?? [] where entry.count >= 3 && entry[0] < machine.zoneCount {
      let free = machine.freePagesSnapshot(entry[0])
      let cma = machine.freeCMASnapshot(entry[0])
      if free != entry[1] || cma != entry[2] {
        let zone = machine.zone(entry[0]).index.name
        return (
          "\(zone): \(entry[1]) pages free, \(entry[2]) of them CMA",
          "\(zone): \(free) pages free, \(cma) of them CMA"
        )
      }
    }
    return nil
  }
}
