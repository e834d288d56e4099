internal import MemoryModel

/// One event of those that an operation of the model causes itself, recorded or of the model.
struct PageEvent: Equatable {
  enum Kind: Equatable {
    case allocate, free, migrationStart, migrationEnd
    /// Any other event, by the code that recordings give it.
    case report(String)
  }

  var kind: Kind
  /// -1 when nothing was allocated.
  var pfn = 0
  var order = 0
  var gfp: UInt32 = 0
  var type = 0
  /// Mode and reason of a start; counts, mode and reason of an end.
  var numbers: [Int] = []

  var text: String {
    switch kind {
    case .allocate:
      let name = pfn < 0 ? "no page" : "pfn \(pfn) (0x\(String(pfn, radix: 16)))"
      return "\(name) for order \(order), \(GFPFlags(rawValue: gfp).description)"
    case .free: return "free of pfn \(pfn) (0x\(String(pfn, radix: 16))), order \(order)"
    case .migrationStart: return "migration starts \(numbers)"
    case .migrationEnd: return "migration ends \(numbers)"
    case .report(let code): return "event \(code) \(numbers)"
    }
  }
}

/// The recorded events of one operation, which the model's own are compared with as they come.
struct PageEvents {
  private(set) var recorded: [PageEvent] = []
  /// Those of other tasks, and those of the task that are not the memory manager's.
  private(set) var foreign: [ForeignRequest] = []
  /// What shrinkers give back in the operation's direct reclaims.
  private(set) var reclaims: [[ForeignRequest.ShrunkPages]] = []
  private var position = 0
  private var seen: Int
  /// Behind the operation's own events.
  private var ownEnd = 0

  static let start = RecordingEvent.key("ms")
  static let end = RecordingEvent.key("me")

  /// - Parameter machine: In the state before the operation.
  /// - Parameter freesRanges: What the operation frees are pages of its range, whoever had them.
  /// - Parameter isFork: What other tasks do is done by the child.
  /// - Parameter request: A request of the operation's own, which no other tells apart.
  init(
    _ events: [RecordingEvent], _ machine: borrowing Machine, freesRanges: Bool = false,
    isFork: Bool = false, request: (order: Int, gfp: Int)? = nil
  ) {
    func isOther(_ event: RecordingEvent) -> Bool {
      guard let comm = event.comm else { return false }
      return !isFork || comm != "init"
    }
    // What a thread frees of the kernel's own comes from shrinkers.
    var thread: (name: String, place: Int)?
    var isReclaiming = false
    var steps = 0
    // True for what shrinkers give back, which comes at its place.
    func lend(_ request: ForeignRequest, _ event: RecordingEvent) -> Bool {
      if isReclaiming, event.comm == nil, case .free(let pfn) = request.kind {
        reclaims[reclaims.count - 1].append(
          ForeignRequest.ShrunkPages(pfn, order: request.order))
        return true
      }
      if let running = thread, running.name == event.comm, case .free(let pfn) = request.kind,
        case .thread(let woken, let shrunk) = foreign[running.place].kind
      {
        foreign[running.place].kind = .thread(
          woken, shrunk: shrunk + [ForeignRequest.ShrunkPages(pfn, order: request.order)])
        return true
      }
      foreign.append(request)
      return false
    }
    seen = machine.trace.total
    var own = 0
    var lent = Set<Int>()
    // The model serves a foreign request just before the operation's next own one, so behind reports
    // that come between.
    var waiting: [PageEvent] = []
    let runs = Self.compactorRuns(events, machine)
    for (index, event) in events.enumerated() {
      if let run = runs[index] {
        thread = nil
        foreign.append(
          ForeignRequest(
            position: own, .kcompactd(node: run.node, scans: run.scans), order: 0, steps: steps))
      }
      if !freesRanges {
        recorded += waiting
        waiting = []
      }
      let numbers = event.arguments
      switch event.key {
      case Replayer.allocation:
        let repeats = event.repetition(after: 4)
        for index in 0..<abs(repeats) {
          var pfn = numbers[0]
          if pfn >= 0 { pfn += (index << numbers[1]) * repeats.signum() }
          let gfp = UInt32(numbers[2])
          let page = PageEvent(
            kind: .allocate, pfn: pfn, order: numbers[1], gfp: gfp, type: numbers[3])
          let isRequest = request.map { $0 == (numbers[1], Int(gfp)) } ?? Self.isUserMemory(gfp)
          if !isOther(event), isRequest {
            own += 1
            recorded += waiting
            waiting = []
            recorded.append(page)
          } else {
            lent.insert(pfn)
            waiting.append(page)
            _ = lend(
              ForeignRequest(
                position: own, .allocate(GFPFlags(rawValue: gfp)), order: numbers[1]), event)
          }
        }
      case Replayer.free:
        let repeats = event.repetition(after: 2)
        for index in 0..<abs(repeats) {
          let pfn = numbers[0] + (index << numbers[1]) * repeats.signum()
          let page = PageEvent(kind: .free, pfn: pfn, order: numbers[1])
          let isForeign =
            lent.remove(pfn) != nil
            || (!freesRanges || isReclaiming || event.comm != nil)
              && Self.isForeign(pfn, machine)
          if !isOther(event) || Self.thread(event) != nil, !isForeign {
            own += 1
            recorded += waiting
            waiting = []
            recorded.append(page)
          } else {
            if lend(
              ForeignRequest(position: own, .free(PFN(pfn)), order: numbers[1]), event)
            {
              recorded.append(page)
            } else {
              waiting.append(page)
            }
          }
        }
      case Self.start:
        recorded.append(PageEvent(kind: .migrationStart, numbers: Array(numbers.prefix(2))))
      case Self.end:
        recorded.append(PageEvent(kind: .migrationEnd, numbers: Array(numbers.prefix(8))))
      default:
        if Self.wakes.contains(event.key), runs[index] == nil, let woken = Self.thread(event) {
          thread = (event.comm ?? "", foreign.count)
          foreign.append(
            ForeignRequest(position: own, .thread(woken, shrunk: []), order: 0, steps: steps))
        } else if event.key == Self.sleep, let sleeper = Self.thread(event) {
          foreign.append(ForeignRequest(position: own, .endNap(node: sleeper.node), order: 0))
        }
        if event.comm == nil, event.key == Self.reclaimBegin || event.key == Self.reclaimEnd {
          isReclaiming = event.key == Self.reclaimBegin
          if isReclaiming { reclaims.append([]) }
        }
        if event.comm == nil, Self.steps.contains(event.key) { steps += 1 }
        if let count = Self.reports[event.code], numbers.count >= count {
          recorded.append(
            PageEvent(kind: .report(event.code), numbers: Array(numbers.prefix(count))))
        }
      }
    }
    ownEnd = recorded.count
    recorded += waiting
  }

  /// The events that are compared as they are, and how many numbers they have.
  private static let reports = [
    "ti": 3, "cs": 2, "cf": 4, "cb": 3, "cr": 2, "im": 4, "if": 4, "ci": 6, "kt": 3, "kb": 5,
    "ke": 5, "cm": 2, "fi": 4, "wc": 2, "kc": 2, "wk": 3, "kw": 2, "rb": 2, "re": 1,
  ]

  /// The events with which a thread begins to work.
  static let wakes: Set<UInt16> = [RecordingEvent.key("kc"), RecordingEvent.key("kw")]

  private static let reclaimBegin = RecordingEvent.key("rb")
  private static let reclaimEnd = RecordingEvent.key("re")
  /// The task's own events behind which a thread may get to run in the middle of an allocation.
  private static let steps = Set(["rb", "wk", "kb", "im"].map { RecordingEvent.key($0) })
  private static let sleep = RecordingEvent.key("ks")

  /// Runs of kcompactd that begin or end in the middle of a compaction, by the index of their first event:
  /// how many pageblocks they scan until the thread loses its CPU, nil for all.
  ///
  /// A run that ends elsewhere than behind a scan or the beginning of the compaction is taken to its end.
  private static func compactorRuns(
    _ events: [RecordingEvent], _ machine: borrowing Machine
  ) -> [Int: (node: Int, scans: Int?)] {
    var runs: [Int: (node: Int, scans: Int?)] = [:]
    var paused = Set((0..<machine.nodeCount).filter { machine.isKcompactdPaused(node: $0) })
    var index = 0
    while index < events.count {
      guard case .kcompactd(let node) = thread(events[index]) else {
        index += 1
        continue
      }
      let first = index
      let resumes = paused.contains(node)
      var isCompacting = resumes
      var scans = 0
      var last = events[first].key
      while index < events.count {
        let event = events[index]
        // Interrupts come in between, and the thread goes on.
        if event.comm?.first != "(" {
          guard event.comm == events[first].comm, index == first || event.key != wake else { break }
          if event.key == compactionBegin { isCompacting = true }
          if event.key == compactionEnd { isCompacting = false }
          if event.key == scan { scans += 1 }
          last = event.key
        }
        index += 1
      }
      let pauses = isCompacting && (last == scan || last == compactionBegin)
      if resumes || pauses { runs[first] = (node, pauses ? scans : nil) }
      if pauses { paused.insert(node) } else { paused.remove(node) }
    }
    return runs
  }

  private static let wake = RecordingEvent.key("kc")
  private static let scan = RecordingEvent.key("im")
  private static let compactionBegin = RecordingEvent.key("kb")
  private static let compactionEnd = RecordingEvent.key("ke")

  /// The kernel thread that an event comes from, if the model has it.
  private static func thread(_ event: RecordingEvent) -> BackgroundThread? {
    guard let comm = event.comm else { return nil }
    if comm.hasPrefix("kswapd") { return Int(comm.dropFirst(6)).map { .kswapd(node: $0) } }
    if comm.hasPrefix("kcompactd") { return Int(comm.dropFirst(9)).map { .kcompactd(node: $0) } }
    return nil
  }

  /// Whether the memory manager asks for a page itself.
  ///
  /// It does so for user pages (__GFP_HARDWALL), page tables with and without __GFP_COMP, and bundles
  /// of gathered pages. All others are slab pages and the like.
  private static func isUserMemory(_ gfp: UInt32) -> Bool {
    gfp & 0x10_0000 != 0 || gfp == 0x44_0dc0 || gfp == 0x40_0dc0 || gfp == 0x2800
  }

  /// Whether a page that is freed belongs to nobody whom the model knows.
  private static func isForeign(_ pfn: Int, _ machine: borrowing Machine) -> Bool {
    let state = machine.frames.head(PFN(pfn))
    return state.kind == .allocated && !state.flags.contains(.folio)
      && state.owner != UInt8(ascii: "T") && !machine.isTopTable(PFN(pfn))
  }

  /// Leaves out the last foreign request if it frees a page of order 0; its event stays.
  mutating func takeLastFree() -> PFN? {
    guard let last = foreign.last, case .free(let pfn) = last.kind, last.order == 0 else {
      return nil
    }
    foreign.removeLast()
    return pfn
  }

  /// A foreign free goes past the per-CPU lists.
  mutating func freePastLists(at index: Int) {
    if case .free(let pfn) = foreign[index].kind { foreign[index].kind = .freePastLists(pfn) }
  }

  /// Lets a foreign free come before an earlier one of the operation's own events.
  ///
  /// ``sortForeign()`` follows.
  mutating func move(at index: Int, to position: Int) {
    let pfn: PFN
    switch foreign[index].kind {
    case .free(let freed), .freePastLists(let freed): pfn = freed
    default: return
    }
    let event = PageEvent(kind: .free, pfn: pfn.index, order: foreign[index].order)
    guard let place = recorded.lastIndex(of: event) else { return }
    recorded.remove(at: place)
    let others = Set(
      foreign.compactMap { request -> Int? in
        switch request.kind {
        case .free(let freed), .freePastLists(let freed): freed.index
        default: nil
        }
      })
    var own = 0
    var target = 0
    while target < recorded.count, own < position {
      let event = recorded[target]
      if event.kind == .allocate && Self.isUserMemory(event.gfp)
        || event.kind == .free && !others.contains(event.pfn)
      {
        own += 1
      }
      target += 1
    }
    recorded.insert(event, at: target)
    foreign[index].position = position
  }

  mutating func sortForeign() {
    foreign = foreign.enumerated().sorted {
      ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
    }.map(\.element)
  }

  /// Compares what the model did since the last call.
  mutating func compare(_ machine: borrowing Machine) -> (recorded: String, model: String)? {
    guard machine.trace.total > seen else { return nil }
    if machine.trace.lost > seen { return ("events of the model", "more than its trace holds") }
    let events = machine.trace.events(from: seen)
    seen = machine.trace.total
    var index = 0
    while index < events.count {
      defer { index += 1 }
      guard let event = Self.event(events, index) else { continue }
      guard position < recorded.count else { return ("no more events", event.text) }
      if recorded[position] != event { return (recorded[position].text, event.text) }
      position += 1
    }
    return nil
  }

  /// What is left must be nothing.
  func finish() -> (recorded: String, model: String)? {
    position < recorded.count ? (recorded[position].text, "no more events") : nil
  }

  var compared: Int { position }

  /// Whether the operation has done all that was recorded of it.
  var isExhausted: Bool { position >= ownEnd }

  private static func event(_ events: [TraceEvent], _ index: Int) -> PageEvent? {
    let event = events[index]
    switch event.kind {
    case .pageAlloc:
      if event.argument0 == Replayer.kernelStack.rawValue { return nil }
      return PageEvent(
        kind: .allocate, pfn: event.failed ? -1 : Int(event.pfn), order: Int(event.order),
        gfp: event.argument0, type: Int(event.argument1))
    case .pageFree:
      return PageEvent(kind: .free, pfn: Int(event.pfn), order: Int(event.order))
    case .migratePagesStart:
      return PageEvent(
        kind: .migrationStart, numbers: [Int(event.argument0), Int(event.argument1)])
    case .migratePages:
      let rest = events[index + 1]
      return PageEvent(
        kind: .migrationEnd,
        numbers: [
          Int(event.pfn), Int(event.argument0), Int(event.argument1), Int(rest.pfn),
          Int(rest.argument0), Int(rest.argument1), Int(event.order >> 4), Int(event.order & 15),
        ])
    case .testPagesIsolated:
      return report("ti", event.pfn, event.argument0, event.argument1)
    case .cmaAllocStart: return report("cs", event.argument0, UInt32(event.order))
    case .cmaAllocBusyRetry:
      return report("cb", event.pfn, event.argument0, UInt32(event.order))
    case .cmaRelease: return report("cr", event.pfn, event.argument0)
    case .cmaAllocFinish:
      let pfn = event.pfn == TraceEvent.noFrame.rawValue ? -1 : Int(event.pfn)
      return PageEvent(
        kind: .report("cf"),
        numbers: [
          pfn, Int(event.argument0), Int(event.order), -Int(event.argument1 & 0xFF),
        ])
    case .isolateMigratePages, .isolateFreePages:
      return report(
        event.kind == .isolateMigratePages ? "im" : "if", event.pfn, event.argument0,
        event.argument1 >> 12, event.argument1 & 0xFFF)
    case .fastIsolateFreePages:
      return report(
        "fi", event.pfn, event.argument0, event.argument1 >> 12, event.argument1 & 0xFFF)
    case .tryToCompact:
      return report("kt", UInt32(event.order), event.argument0, event.argument1)
    case .compactionBegin:
      let rest = events[index + 1]
      return report(
        "kb", event.argument0, event.argument1, event.pfn, rest.pfn, rest.argument0)
    case .compactionEnd:
      let rest = events[index + 1]
      return PageEvent(
        kind: .report("ke"),
        numbers: [
          Int(event.argument0), Int(event.argument1), Int(rest.argument1), Int(rest.argument0),
          rest.order == 255 ? -1 : Int(rest.order),
        ])
    case .wakeupKswapd:
      return report("wk", event.argument0 & 0xFF, UInt32(event.order), event.argument1)
    case .kswapdWake: return report("kw", event.argument1, UInt32(event.order))
    case .directReclaimBegin: return report("rb", UInt32(event.order), event.argument0)
    case .directReclaimEnd: return report("re", event.argument0)
    case .compactionMigrate: return report("cm", event.argument0, event.argument1)
    case .wakeupKcompactd, .kcompactdWake:
      return report(
        event.kind == .kcompactdWake ? "kc" : "wc", UInt32(event.order), event.argument0)
    case .contigMigrateRange:
      let rest = events[index + 1]
      return report(
        "ci", event.pfn, event.argument0, event.argument1, rest.pfn, rest.argument0,
        rest.argument1)
    default: return nil
    }
  }

  private static func report(_ code: String, _ numbers: UInt32...) -> PageEvent {
    PageEvent(kind: .report(code), numbers: numbers.map { Int($0) })
  }
}
