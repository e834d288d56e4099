// Single folios of the recorded task: looked at, selected, referenced, taken off the LRU.

internal import MemoryModel

extension Replayer {
  /// The frame of a record, if the model has it.
  private func frame(_ record: RecordingRecord) -> PFN? {
    guard let pfn = record.pfn, pfn >= 0, pfn < machine.frames.count else { return nil }
    return PFN(pfn)
  }

  /// What `page` records show of a page and its folio.
  func comparePage(_ record: RecordingRecord) -> Difference? {
    guard let pfn = frame(record), let folio = machine.folio(of: pfn) else { return nil }
    let state = machine.frames.head(folio.head)
    // Pages of the kernel have counts that only their owners know.
    guard state.flags.contains(.folio) else { return nil }
    let isHugetlb = state.flags.contains(.hugetlb)
    let isAnonymous = machine.owner(folio).mapping.isAnonymous
    var letter = isAnonymous ? "a" : "f"
    if state.isLRU { letter = letter.uppercased() }
    // Pages behind the head show no flags of their own.
    if pfn != folio.head { letter = "t" } else if isHugetlb { letter = "H" }
    var difference: Difference?
    func check(_ name: String, _ recorded: Int?, _ model: Int) {
      guard difference == nil, let recorded, recorded != model else { return }
      difference = ("\(name) \(recorded) of page 0x\(hex(pfn.index))", "\(name) \(model)")
    }
    check("folio_ref", record.folio_ref, machine.references(folio))
    check("folio_mapcount", record.folio_mapcount, machine.mappings(folio))
    check("head_pfn", record.head_pfn, folio.head.index)
    check("order", record.order, folio.order)
    check("pincount", record.pincount, machine.pinCount(folio))
    check("maybe_pinned", record.maybe_pinned, machine.maybePinned(folio) ? 1 : 0)
    check("lt_pinnable", record.lt_pinnable, machine.isLongTermPinnable(folio) ? 1 : 0)
    if !isHugetlb { check("mapcount", record.mapcount, machine.pageMappings(pfn)) }
    if let flags = record.flags, !isHugetlb, pfn == folio.head {
      func checkFlag(_ name: String, _ value: Bool) {
        check(name, flags.contains(name) ? 1 : 0, value ? 1 : 0)
      }
      checkFlag("lru", state.isLRU)
      checkFlag("locked", state.flags.contains(.locked))
      checkFlag("dirty", state.flags.contains(.dirty))
      checkFlag("referenced", machine.isReferenced(folio))
      checkFlag("swapbacked", state.flags.contains(.swapBacked))
      checkFlag("unevictable", state.flags.contains(.unevictable))
      checkFlag("mlocked", state.flags.contains(.mlocked))
      // On the lists of MGLRU the generation says it.
      checkFlag("active", state.flags.contains(.active) && !state.isLRU)
    }
    if let recorded = record.class, recorded != letter {
      return ("page 0x\(hex(pfn.index)) of class \(recorded)", "class \(letter)")
    }
    return difference
  }

  /// `sel REGISTER ADDRESS COUNT STEP CONDITION K`: the k-th page that meets a condition.
  func compareSelection(_ record: RecordingRecord) -> Difference? {
    let words = (record.cmd ?? "").split(separator: " ").map(String.init)
    guard words.count == 7, words[2].hasPrefix("0x"),
      let address = Int(words[2].dropFirst(2), radix: 16),
      let count = Int(words[3]), let step = Int(words[4]), var wanted = Int(words[6]),
      let space = task?.space, count <= 1 << 24
    else { return nil }
    let first = address >> machine.geometry.pageShift
    var found: [(page: Int, pfn: PFN)] = []
    for index in 0..<count {
      let page = first + index * step
      if let pfn = machine.frame(space, page: page), meets(words[5], pfn) {
        found.append((page, pfn))
      }
    }
    if wanted < 0 { wanted += found.count }
    let isThere = found.indices.contains(wanted)
    let pfn = isThere ? found[wanted].pfn.index : -1
    let place = isThere ? found[wanted].page << machine.geometry.pageShift : -1
    if pfn != record.pfn || place != record.va {
      return (
        "page 0x\(hex(record.pfn ?? 0)) at 0x\(hex(record.va ?? 0))",
        "0x\(hex(pfn)) at 0x\(hex(place))"
      )
    }
    return nil
  }

  private func meets(_ condition: String, _ pfn: PFN) -> Bool {
    switch condition {
    case "any": return true
    case "cma": return machine.frames.migrateType(pfn) == .cma
    case "movable":
      return machine.frames.zone(of: pfn).map { machine.zone($0).index == .movable } ?? false
    default:
      let bounds = condition.dropFirst(4).split(separator: "-").compactMap { Int($0) }
      return bounds.count == 2 && pfn.index >= bounds[0] && pfn.index < bounds[1]
    }
  }

  /// `tempref` and `putref`: a plain reference of somebody else.
  mutating func changeReference(_ record: RecordingRecord, _ change: Int) -> Difference? {
    guard let pfn = frame(record), let folio = machine.folio(of: pfn) else { return nil }
    if change > 0 {
      machine.addReferences(folio, 1)
    } else {
      machine.putReferences(folio, 1)
    }
    return comparePage(record)
  }

  // MARK: Off the LRU

  private static func number(_ record: RecordingRecord, at index: Int) -> Int? {
    let words = (record.cmd ?? "").split(separator: " ")
    return words.indices.contains(index) ? Int(words[index]) : nil
  }

  /// `lruiso HANDLE @ADDRESS`: `folio_isolate_lru()` of somebody else.
  mutating func isolate(_ record: RecordingRecord) -> Difference? {
    guard let pfn = frame(record), let folio = machine.folio(of: pfn),
      let handle = Self.number(record, at: 1)
    else { return nil }
    if machine.isolateLRU(folio) { task?.isolated[handle] = folio.head }
    return comparePage(record)
  }

  mutating func putBack(_ record: RecordingRecord) -> Difference? {
    guard
      let handle = Self.number(record, at: 1),
      let head = task?.isolated.removeValue(forKey: handle), let folio = machine.folio(of: head)
    else { return nil }
    machine.putBackLRU(folio)
    return comparePage(record)
  }

  /// `tempref_ns` and `lruiso_ms`: what is taken now and given back by a timer.
  mutating func startTimer(_ record: RecordingRecord) -> Difference? {
    guard let pfn = frame(record), let folio = machine.folio(of: pfn), let start = record.t else {
      return nil
    }
    if record.op == "tempref_ns" {
      machine.addReferences(folio, 1)
      task?.timers.append(
        RecordedTask.Timer(folio: folio, isIsolation: false, due: start + (record.delay_ns ?? 0)))
    } else {
      let delay = Self.number(record, at: 2) ?? 0
      guard machine.isolateLRU(folio) else { return nil }
      task?.timers.append(
        RecordedTask.Timer(folio: folio, isIsolation: true, due: start + delay * 1_000_000))
    }
    return comparePage(record)
  }

  mutating func fire(_ timer: RecordedTask.Timer) {
    if timer.isIsolation {
      machine.putBackLRU(timer.folio)
    } else {
      machine.putReferences(timer.folio, 1)
    }
  }

  /// Fires the timers that are due before a record begins.
  mutating func fireTimers(before record: RecordingRecord) {
    guard let time = record.t else { return }
    let due = (task?.timers ?? []).filter { $0.due + RecordedTask.timerSlack < time }
    if due.isEmpty { return }
    task?.timers.removeAll { $0.due + RecordedTask.timerSlack < time }
    for timer in due { fire(timer) }
  }
}
