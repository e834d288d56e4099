// Operations of the recorded task run as operations of the model: the recording says what was asked
// for, and everything that comes out is compared.

internal import MemoryModel
internal import MemoryOperations

extension Replayer {
  typealias Difference = (recorded: String, model: String)

  /// Whether the model executes this record instead of taking its requests to the allocator.
  func isTaskOperation(_ record: RecordingRecord) -> Bool {
    if Self.taskOperations.contains(record.op) { return true }
    if startsMemoryWork(record) { return true }
    switch record.op {
    case "mmap": return record.ret ?? -1 >= 0
    case "madvise":
      guard let advice = record.adv else { return false }
      return advice == 4 || advice == 9 || advice == 14 || advice == 15
    case "user":
      guard let command = record.cmd else { return false }
      return Self.userCommands.contains { command.hasPrefix($0) }
    default: return false
    }
  }

  /// Whether a single request, or an idle time, makes the memory manager compact or reclaim.
  private func startsMemoryWork(_ record: RecordingRecord) -> Bool {
    guard ["alloc", "free", "idle"].contains(record.op) else { return false }
    if endsVictim(record) { return true }
    return (record.ev ?? []).contains {
      Self.memoryWork.contains($0.key) || $0.comm?.hasPrefix("kcompactd") == true
    }
  }

  private static let memoryWork: Set<UInt16> = ["kt", "rb", "kw", "kc", "ks", "wk"].reduce(into: [])
  {
    $0.insert(RecordingEvent.key($1))
  }

  /// Makes the task's address space, once.
  mutating func startTask() {
    if task == nil { task = RecordedTask(&machine) }
  }

  /// Runs one operation of the task and compares it.
  mutating func runTask(_ record: RecordingRecord) -> Difference? {
    startTask()
    guard let task else { return ("a task", "no room for its tables") }
    if Self.interruptible.contains(record.op), let start = record.t, let length = record.ns {
      let end = start + length + RecordedTask.timerSlack
      if let index = task.timers.firstIndex(where: { $0.due < end }) {
        let share = Double(task.timers[index].due - start) / Double(length)
        return searchShot(record, index, share: share)
      }
    }
    return runOnce(record)
  }

  /// Operations that last long enough for a timer to fire in their middle.
  private static let interruptible: Set<String> = ["pin", "mfpin", "cma_alloc", "acr", "offline"]

  /// A timer fires during an operation, and nothing says at which of its steps: the first place counts
  /// with which everything comes out as recorded, beginning with the one that the times suggest.
  private mutating func searchShot(
    _ record: RecordingRecord, _ index: Int, share: Double
  ) -> Difference? {
    guard let timer = task?.timers.remove(at: index) else { return nil }
    do {
      let start = try machine.fork()
      return search(record, timer, share: share, from: start)
    } catch {
      return ("a machine to try with", error.message)
    }
  }

  private mutating func search(
    _ record: RecordingRecord, _ timer: RecordedTask.Timer, share: Double,
    from start: borrowing Machine
  ) -> Difference? {
    let taskBefore = task
    let reportBefore = report
    let limitsBefore = limits
    task?.shot = RecordedTask.Shot(timer: timer, after: .max)
    if timer.isIsolation {
      // It spins: the pins that it took and gave back tell for how many rounds, but for the last.
      let rest = (record.d?["nr_foll_pin_acquired"] ?? 0) - (record.nr ?? 0)
      task?.shot?.afterPins = machine.total(.pinAcquired) + rest
    }
    let last = runOnce(record)
    let shot = task?.shot
    task?.shot = nil
    report.inferred += 1
    guard last != nil, let shot else { return nil }
    var places = [0] + shot.looks
    var guess = Int(Double(shot.count) * share)
    // It tries again for as long as it must: the events part soon after the timer has fired.
    if Self.contiguousOperations.contains(record.op) { guess = shot.count }
    if timer.isIsolation {
      guess = shot.count
      places = Array(0...shot.count + Self.placeLimit)
    }
    places.sort { abs($0 - guess) < abs($1 - guess) }
    for place in places.prefix(Self.placeLimit) {
      machine.assign(from: start)
      task = taskBefore
      report = reportBefore
      limits = limitsBefore
      report.inferred += 1
      task?.shot = RecordedTask.Shot(timer: timer, after: place)
      let difference = runOnce(record)
      task?.shot = nil
      if difference == nil { return nil }
    }
    return last
  }

  private static let placeLimit = 96

  private static let othersFaults: Set<String> = [
    "pgfault", "pgreuse", "nr_mapped", "nr_anon_pages", "nr_active_anon", "nr_zone_active_anon",
  ]
  private static let ownFaults: Set<String> = ["pgfault", "pgreuse", "nr_mapped"]
  private static let userCommands = [
    "fork ", "child ", "killchild ", "mlock ", "uring_reg ", "uring_unreg ",
  ]
  private static let taskOperations: Set<String> = [
    "munmap", "touch", "pin", "pfns", "page", "sel", "tempref", "putref", "drain_lru",
    "drain_lru_local", "mfpin", "lruiso", "lruput", "tempref_ns", "lruiso_ms", "unpin", "cma_alloc",
    "cma_release", "acr", "acr_free", "offline", "online",
  ]

  private mutating func runOnce(_ record: RecordingRecord) -> Difference? {
    if Self.contiguousOperations.contains(record.op) || Self.hotplugOperations.contains(record.op) {
      let difference =
        Self.contiguousOperations.contains(record.op) ? runContiguous(record) : runHotplug(record)
      fireLate()
      return difference
    }
    let before = Counters(machine)
    let request = record.op == "alloc" ? (order: record.order ?? 0, gfp: record.gfp ?? 0) : nil
    var events = PageEvents(
      record.ev ?? [], machine, isFork: record.op == "user", request: request)
    placeInterrupts(record, in: &events)
    var foreign = events.foreign
    if record.op == "user" { placeStacks(record, in: &foreign) }
    machine.expectForeign(foreign, reclaims: events.reclaims)
    // A system call begins with its own memory.
    if record.op == "user" { machine.serveFirstForeign() }
    var difference = perform(record, &events)
    machine.finishForeign()
    fireLate()
    difference = difference ?? events.compare(machine) ?? events.finish()
    report.pageEvents += events.compared
    // Idle times tell no counts.
    if record.op == "idle" { return difference }
    // A process that runs faults by itself.
    var unknown: Set<String> = record.op == "user" ? Self.ownFaults : []
    if hasOtherProcess { unknown = Self.othersFaults }
    let after = Counters(machine)
    if task?.childFaultIsDue == true,
      after["pgfault"] - before["pgfault"] + 1 == record.d?["pgfault"] ?? 0
    {
      task?.childFaultIsDue = false
      report.inferred += 1
      unknown.insert("pgfault")
    }
    return difference
      ?? after.compare(since: before, record.d ?? [:], except: unknown)
  }

  /// Fires a timer whose place comes after the end of the operation.
  private mutating func fireLate() {
    guard let shot = task?.shot, !shot.isFired else { return }
    fire(shot.timer)
    task?.shot?.isFired = true
  }

  private mutating func perform(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    switch record.op {
    case "alloc": return allocate(record)
    case "free": return free(record)
    case "mmap": return map(record)
    case "munmap": return unmap(record, &events)
    case "madvise": return advise(record, &events)
    case "touch": return touch(record, &events)
    case "pin": return pin(record, &events)
    case "mfpin": return pinFile(record, &events)
    case "unpin": return unpin(record)
    case "pfns": return comparePages(record)
    case "page": return comparePage(record)
    case "lruiso": return isolate(record)
    case "lruput": return putBack(record)
    case "tempref_ns", "lruiso_ms": return startTimer(record)
    case "user": return performUser(record, &events)
    case "sel": return compareSelection(record)
    case "tempref": return changeReference(record, 1)
    case "putref": return changeReference(record, -1)
    case "idle" where endsVictim(record): return endVictim(&events)
    case "drain_lru": machine.drainAllLRU()
    case "drain_lru_local": machine.drainLRU(cpu: machine.currentCPU)
    default: break
    }
    return nil
  }

  private mutating func allocate(_ record: RecordingRecord) -> Difference? {
    let gfp = GFPFlags(rawValue: UInt32(record.gfp ?? 0))
    let result = machine.allocatePages(order: record.order ?? 0, gfp: gfp)
    let (pfn, wanted) = (result.pfn?.index ?? -1, record.pfn ?? -1)
    return pfn == wanted ? nil : ("pfn \(wanted)", "pfn \(pfn)")
  }

  private mutating func free(_ record: RecordingRecord) -> Difference? {
    guard let pfn = record.pfn, record.skipped != 1 else { return nil }
    do throws(MemoryError) {
      try machine.freePages(PFN(pfn), order: record.order ?? 0)
    } catch {
      return ("free of \(pfn)", error.message)
    }
    return nil
  }

  private func range(_ record: RecordingRecord) -> Range<Int> {
    let first = (record.addr ?? 0) >> machine.geometry.pageShift
    let size = machine.geometry.pageSize
    return first..<first + ((record.len ?? 0) + size - 1) / size
  }

  // MARK: Areas

  private mutating func map(_ record: RecordingRecord) -> Difference? {
    let pages = range(record)
    var backing = MemoryArea.Backing.anonymous
    var flags: MemoryArea.Flags = [.read, .write]
    let isShared = record.type == "shared" || record.type == "hugetlb_shared"
    if record.type != "anon" {
      let isHuge = record.type?.hasPrefix("hugetlb") == true
      guard
        case .success(let file) = machine.createFile(
          isHuge ? .hugetlb(order: machine.geometry.hugeOrder) : .shmem, name: "dev/zero",
          pages: pages.count)
      else { return ("a file", "no room for it") }
      task?.files[pages.lowerBound] = file
      backing = .file(file, offset: 0)
      if isShared { flags.insert(.shared) }
    }
    let result = machine.mapArea(
      task!.space, start: pages.lowerBound, pages: pages.count, flags, backing, replacing: true)
    if case .failure(let refusal) = result { return ("mmap succeeds", refusal.message) }
    return nil
  }

  private mutating func unmap(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let pages = range(record)
    var operation = UnmapOperation(space: task!.space, pages: pages)
    // Small steps where the trace could not hold the events of a large one.
    let pace: Pace = pages.count > 1 << 14 ? .step : .slice
    if let difference = run(&operation, &events, pace) { return difference }
    if case .failure(let refusal) = operation.outcome {
      return ("munmap returns \(record.ret ?? 0)", refusal.message)
    }
    return nil
  }

  private mutating func advise(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let advice: MemoryAdvice
    switch record.adv {
    case 4 where Self.isLong(range(record)):
      guard let area = machine.spaces[task!.space].area(range(record).lowerBound),
        area.end >= range(record).upperBound
      else { fallthrough }
      return zapInParts(area, range(record), &events)
    case 4: advice = .dontNeed
    case 9: return punchHole(record, &events)
    case 14: advice = .hugePage
    default: advice = .noHugePage
    }
    let result = machine.advise(task!.space, range(record), advice)
    if case .failure(let refusal) = result, -refusal.errno.rawValue != record.ret {
      return ("madvise returns \(record.ret ?? 0)", refusal.message)
    }
    return nil
  }

  /// MADV_REMOVE: `shmem_fallocate()` with FALLOC_FL_PUNCH_HOLE.
  private mutating func punchHole(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let pages = range(record)
    guard let area = machine.spaces[task!.space].area(pages.lowerBound), let file = area.file else {
      return ("a shared mapping", "none")
    }
    if let difference = zapInParts(area, pages, &events) { return difference }
    let first = area.filePage(pages.lowerBound)
    for part in Self.parts(first..<first + pages.count) {
      machine.truncate(file, part)
      if let difference = events.compare(machine) { return difference }
    }
    return nil
  }

  /// Unmaps pages of one area and compares between its parts, all of one gather.
  private mutating func zapInParts(
    _ area: MemoryArea, _ pages: Range<Int>, _ events: inout PageEvents
  ) -> Difference? {
    machine.drainLRU(cpu: machine.currentCPU)
    var gather = PageGather(space: task!.space)
    for part in Self.parts(pages) {
      machine.zap(area, part, &gather, isPart: part.upperBound < pages.upperBound)
      if let difference = events.compare(machine) { return difference }
    }
    machine.finish(&gather)
    return events.compare(machine)
  }

  /// Parts of which the trace holds all events; they end where page tables do.
  private static func parts(_ pages: Range<Int>) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var first = pages.lowerBound
    while first < pages.upperBound {
      let end = min((first | (partPages - 1)) + 1, pages.upperBound)
      parts.append(first..<end)
      first = end
    }
    return parts
  }

  private static func isLong(_ pages: Range<Int>) -> Bool { pages.count > partPages }

  private static let partPages = 1 << 14

  /// Runs an operation to its end and compares its events as they come.
  mutating func run(
    _ operation: inout some MemoryModel.Operation, _ events: inout PageEvents, _ wanted: Pace
  ) -> Difference? {
    var seen = machine.trace.total
    var pace = wanted
    if let shot = task?.shot, !shot.timer.isIsolation { pace = .step }
    let interval = task?.shot != nil && operation is any RangeOperation ? 1 << 6 : 1 << 14
    while true {
      if let shot = task?.shot, !shot.isFired {
        if shot.after == .max, shot.afterPins == nil,
          Self.looks(operation.nextStep(machine), at: shot.timer.folio)
        {
          task?.shot?.looks.append(shot.count)
        }
        shoot()
      }
      let progress = operation.advance(&machine, pace)
      if pace == .slice || machine.trace.total - seen > interval {
        seen = machine.trace.total
        if let difference = events.compare(machine) { return difference }
      }
      switch progress {
      case .running: continue
      case .finished: return events.compare(machine)
      case .waiting(let wait): return ("it goes on", "it waits for \(wait.description)")
      }
    }
  }

  /// Whether a step may see what somebody does with a folio: it names it, or goes over ranges.
  private static func looks(_ step: Step, at folio: Folio) -> Bool {
    ["c6", "c9", "o4", "o5", "o8"].contains(step.id) || step.text.contains("\(folio.head)")
  }

  /// Fires the timer whose place was chosen, if this is it.
  mutating func shoot() {
    guard var shot = task?.shot, !shot.isFired else { return }
    if shot.count == shot.after || shot.afterPins.map({ machine.total(.pinAcquired) >= $0 }) == true
    {
      fire(shot.timer)
      shot.isFired = true
    }
    shot.count += 1
    task?.shot = shot
  }

  // MARK: Faults

  private mutating func touch(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let first = (record.addr ?? 0) >> machine.geometry.pageShift
    let writes = record.cmd?.hasSuffix(" w") == true
    var done = 0
    var refusal: Refusal?
    for index in 0..<(record.nr ?? 0) {
      var fault = FaultOperation(
        space: task!.space, page: first + index * (record.step ?? 1), access: .write,
        writes: writes)
      guard let result = fault.run(&machine) else { return ("a fault", "it waits") }
      if case .refused(let why) = result {
        refusal = why
        break
      }
      done += 1
      if index & 1023 == 1023, let difference = events.compare(machine) { return difference }
    }
    if done != record.done {
      return ("\(record.done ?? 0) pages touched", "\(done); \(refusal?.message ?? "")")
    }
    return nil
  }

  // MARK: Pins

  mutating func pin(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let words = (record.cmd ?? "").split(separator: " ")
    let first = (record.uaddr ?? 0) >> machine.geometry.pageShift
    let count = record.nr ?? 0
    let chunk =
      words.last.flatMap { $0.hasPrefix("chunk=") ? Int($0.dropFirst(6)) : nil } ?? max(count, 1)
    var held = RecordedTask.HeldPin(records: [])
    var pinned = 0
    var result = 0
    repeat {
      let pages = min(chunk, count - pinned)
      var operation = Pin(
        PinRequest(
          space: task!.space, startPage: first + pinned, pages: pages,
          flags: GUPFlags(rawValue: UInt32(record.foll ?? 0)),
          entryPoint: record.fast == 1 ? .fast : .locked))
      if let difference = run(&operation, &events, .slice) { return difference }
      guard let outcome = operation.outcome else { return ("an outcome", "none") }
      if let pin = outcome.pin { held.records.append(pin) }
      pinned += outcome.pages
      result = outcome.pages > 0 ? outcome.pages : -(outcome.refusal?.errno.rawValue ?? 0)
      if outcome.pages < pages { break }
    } while pinned < count
    if let handle = record.h { task?.pins[handle] = held }
    if result != record.ret || pinned != record.pinned {
      return (
        "pin returns \(record.ret ?? 0), \(record.pinned ?? 0) pages are pinned",
        "\(result), \(pinned)"
      )
    }
    return comparePinned(record, held)
  }

  /// `mfpin HANDLE ADDRESS START END`: memfd_pin_folios of the file that is mapped there.
  private mutating func pinFile(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let words = (record.cmd ?? "").split(separator: " ")
    guard words.count > 4, let start = Int(words[3]), let end = Int(words[4]),
      let address = Int(words[2].dropFirst(2), radix: 16),
      let file = task?.files[address >> machine.geometry.pageShift]
    else { return (record.cmd ?? "mfpin", "no file for it") }
    var operation = MemfdPin(
      MemfdPinRequest(
        file: file, start: start, end: end, maximumFolios: 1 << 20, space: task!.space))
    if let difference = run(&operation, &events, .slice) { return difference }
    guard let outcome = operation.outcome else { return ("an outcome", "none") }
    let held = RecordedTask.HeldPin(records: outcome.pin.map { [$0] } ?? [])
    if let handle = record.h { task?.pins[handle] = held }
    let result =
      outcome.folios > 0 ? outcome.folios : -(outcome.refusal?.errno.rawValue ?? 0)
    if result != record.ret { return ("mfpin returns \(record.ret ?? 0)", "\(result)") }
    return comparePinned(record, held)
  }

  private func comparePinned(
    _ record: RecordingRecord, _ held: RecordedTask.HeldPin
  ) -> Difference? {
    var model: [Int] = []
    for id in held.records {
      guard let pin = machine.pin(id) else { continue }
      for run in machine.pinnedRuns(pin) {
        for index in 0..<run.pages { model.append(run.first.index + index) }
      }
    }
    var position = 0
    for run in record.pfns ?? [] where run.count == 2 {
      for index in 0..<abs(run[1]) {
        let pfn = run[0] + index * run[1].signum()
        guard position < model.count, model[position] == pfn else {
          return (
            "page \(position) of the pin is \(pfn)",
            position < model.count ? "\(model[position])" : "there is none"
          )
        }
        position += 1
      }
    }
    return nil
  }

  private mutating func unpin(_ record: RecordingRecord) -> Difference? {
    guard let held = record.h.flatMap({ task?.pins.removeValue(forKey: $0) }) else { return nil }
    release(held)
    return nil
  }

  mutating func release(_ held: RecordedTask.HeldPin) {
    var costs = OperationCosts()
    for id in held.records {
      guard let pin = machine.pin(id) else { continue }
      _ = machine.unpin(
        machine.pinWords(id), pin.isGet ? .get : .pin, limit: .max >> 1, batched: true,
        dirty: false, &costs)
      machine.removePin(id)
    }
  }

  // MARK: Page tables

  private func comparePages(_ record: RecordingRecord) -> Difference? {
    let first = (record.addr ?? 0) >> machine.geometry.pageShift
    for run in record.map ?? [] {
      for index in 0..<abs(run.count) {
        let page = first + run.index + index
        let (entry, _, level) = machine.entry(task!.space, page: page)
        let pfn = entry.pfn.index + page & ((1 << level.order) - 1)
        let found: (pfn: Int, level: String) =
          entry.isPresent
          ? (pfn, level == .pte ? "p" : "m") : (-1, entry.isNone || entry.isTable ? "-" : "s")
        let recorded = run.pfn < 0 ? -1 : run.pfn + index * run.count.signum()
        if found.level != run.level || found.pfn != recorded {
          return (
            "page \(run.index + index) shows \(recorded) (\(run.level))",
            "\(found.pfn) (\(found.level))"
          )
        }
      }
    }
    return nil
  }
}
