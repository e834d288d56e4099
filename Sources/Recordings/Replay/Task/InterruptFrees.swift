// What an interrupt frees goes to the per-CPU lists, unless it came while its CPU held their lock; then it
// goes to the buddy (docs/fidelity.md, learned rule 31). Which of the two happened, no event says.

internal import MemoryModel

/// Blocks freed by interrupts between two dumps that may have gone to the buddy, by record.
struct InterruptFrees {
  struct Block: Hashable {
    let pfn: Int
    let order: Int
  }

  /// Nobody found them on the per-CPU lists afterwards: no drain, and not the dump.
  private(set) var unseen: [Int: [Block]] = [:]
  /// Those of them that nobody allocated afterwards, either.
  private(set) var neverSeen: [Int: [Block]] = [:]
  /// What a drain of all lists found on them, so that it was freed before it.
  private(set) var beforeDrain: [Int: [Block]] = [:]

  init() {}

  /// - Parameter segment: The records up to a dump.
  init(_ segment: [RecordingRecord]) {
    let freed = segment.map(Self.freed)
    let all = Set(freed.flatMap { $0 })
    if all.isEmpty { return }
    var onLists = Set<Block>()
    var allocated = Set<Block>()
    for zone in segment.last?.zones ?? [] {
      for (list, pages) in zone.pcp.flatMap({ $0.lists }) {
        guard let index = Int(list) else { continue }
        let order = PerCPUList.order(index, pageblockOrder: Geometry.x86_64.pageblockOrder)
        onLists.formUnion(pages.map { Block(pfn: $0, order: order) }.filter(all.contains))
      }
    }
    for (record, blocks) in zip(segment, freed).reversed() {
      guard let number = record.i else { continue }
      let drained = Self.among(all, record.zv ?? [], "d", behind: 3)
      onLists.formUnion(drained)
      if record.op == "drain_pcp" {
        let early = blocks.filter(drained.contains)
        if !early.isEmpty { beforeDrain[number] = early }
      }
      // Nothing holds the lock while the task sleeps.
      let sleeps = record.op == "sleep_ms" || record.op == "idle"
      let open = sleeps ? [] : blocks.filter { !onLists.contains($0) }
      if !open.isEmpty {
        unseen[number] = open
        neverSeen[number] = open.filter { !allocated.contains($0) }
      }
      // What came before this record was another life of the frame.
      let taken = Self.among(all, record.ev ?? [], "a", behind: 4)
      onLists.subtract(taken)
      allocated.formUnion(taken)
    }
  }

  private static func freed(_ record: RecordingRecord) -> [Block] {
    var blocks: [Block] = []
    for event in record.ev ?? [] where event.code == "f" && event.comm?.first == "(" {
      guard let run = Run(event, behind: 2) else { continue }
      for index in 0..<run.count {
        blocks.append(Block(pfn: run.first + (index << run.order) * run.sign, order: run.order))
      }
    }
    return blocks
  }

  /// Those blocks that events of one kind name.
  private static func among(
    _ blocks: Set<Block>, _ events: [RecordingEvent], _ code: String, behind count: Int
  ) -> Set<Block> {
    var named = Set<Block>()
    for event in events where event.code == code {
      guard let run = Run(event, behind: count) else { continue }
      let last = run.first + ((run.count - 1) << run.order) * run.sign
      let range = min(run.first, last)...max(run.first, last)
      // The blocks are few, the runs may be long.
      for block in blocks where block.order == run.order && range.contains(block.pfn) {
        named.insert(block)
      }
    }
    return named
  }

  /// The blocks of one event; none of one whose numbers cannot be, of which the replay itself tells.
  private struct Run {
    let first: Int
    let order: Int
    let count: Int
    let sign: Int

    /// - Parameter arguments: How many arguments stand before the number of repetitions.
    init?(_ event: RecordingEvent, behind arguments: Int) {
      guard event.arguments.count >= arguments else { return nil }
      let repeats = event.repetition(after: arguments)
      let frames = 1 << 32
      guard (0..<frames).contains(event.arguments[0]), (0...10).contains(event.arguments[1]),
        (1...1 << 20).contains(repeats.magnitude)
      else { return nil }
      first = event.arguments[0]
      order = event.arguments[1]
      count = Int(repeats.magnitude)
      sign = repeats.signum()
    }
  }
}

extension Replayer {
  /// Runs one record and compares it, as often as it takes to find out what interrupts in it did.
  ///
  /// Of the blocks that they freed there went to the buddy none, all that nobody saw again, one, or two.
  mutating func settle(_ record: RecordingRecord) -> Difference? {
    guard let open = interruptFrees.unseen[record.i ?? -1] else {
      return apply(record) ?? compareFreePages(record)
    }
    var attempts: [Set<Int>] = [[]]
    attempts.append(Set((interruptFrees.neverSeen[record.i ?? -1] ?? []).map(\.pfn)))
    attempts += open.map { [$0.pfn] }
    for (index, one) in open.enumerated() {
      attempts += open[(index + 1)...].map { [one.pfn, $0.pfn] }
    }
    let before = (task, report, limits, choices)
    let clocks = (awaitsScan, workerRan, lastTick, hasStatisticsWorker)
    do {
      let start = try machine.fork()
      // The attempt that comes furthest tells most.
      var best: (events: Int, difference: Difference)?
      for (number, attempt) in attempts.prefix(Self.attemptsAtInterrupts).enumerated() {
        if number > 0 {
          machine.assign(from: start)
          (task, report, limits, choices) = before
          (awaitsScan, workerRan, lastTick, hasStatisticsWorker) = clocks
          report.inferred += 1
        }
        pastLists = [:]
        for (place, pfn) in attempt.sorted().enumerated() {
          pastLists[pfn] = place < Self.earlyChoices && choices.choose(2) == 1
        }
        let difference = apply(record) ?? compareFreePages(record)
        pastLists = [:]
        guard let difference else { return nil }
        if best.map({ $0.events < report.pageEvents }) ?? true {
          best = (report.pageEvents, difference)
        }
      }
      return best?.difference
    } catch {
      return ("a machine to try with", error.message)
    }
  }

  private static let attemptsAtInterrupts = 200
  private static let earlyChoices = 6

  /// Where frees by interrupts come among the operation's own.
  ///
  /// A batch of folios is traced whole before its first page goes to the CPU's lists. What comes in the
  /// middle of the tracing comes before them; who cannot have the lock comes among them, of which matters
  /// whether it is before or behind a flush.
  /// Kernel: `free_unref_folios()`.
  func placeInterrupts(_ record: RecordingRecord, in events: inout PageEvents) {
    // Of a hole in a file all batches are full, behind the gather's own bundles.
    var bundles: Int?
    if record.op == "madvise", record.adv == 9 {
      bundles = (record.ev ?? []).reduce(0) { count, event in
        event.key == Self.allocation && event.comm == nil && event.arguments[2] == 0x2800
          ? count + abs(event.repetition(after: 4)) : count
      }
    }
    for (index, request) in events.foreign.enumerated() {
      guard case .free(let pfn) = request.kind else { continue }
      if let isEarly = pastLists[pfn.index] {
        events.freePastLists(at: index)
        if isEarly { events.move(at: index, to: max(0, request.position - Self.batch)) }
      } else if let bundles, request.position > 2 * bundles {
        let rest = (request.position - 2 * bundles) % Self.batch
        if rest > 0 { events.move(at: index, to: request.position - rest) }
      }
    }
    events.sortForeign()
  }

  /// Kernel: `PAGEVEC_SIZE`.
  private static let batch = 31
}
