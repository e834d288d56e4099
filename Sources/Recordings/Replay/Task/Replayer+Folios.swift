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
    guard state.flags.contains(.folio), !state.flags.contains(.hugetlb) else { return nil }
    let isAnonymous = machine.owner(folio).mapping.isAnonymous
    var letter = isAnonymous ? "a" : "f"
    if state.isLRU { letter = letter.uppercased() }
    // Pages behind the head show no flags of their own.
    if pfn != folio.head { letter = "t" }
    let references = machine.references(folio)
    var checks: [(String, Int?, Int)] = [
      ("folio_ref", record.folio_ref, references),
      ("folio_mapcount", record.folio_mapcount, machine.mappings(folio)),
      ("head_pfn", record.head_pfn, folio.head.index), ("order", record.order, folio.order),
      ("pincount", record.pincount, machine.pinCount(folio)),
      ("maybe_pinned", record.maybe_pinned, machine.maybePinned(folio) ? 1 : 0),
      ("lt_pinnable", record.lt_pinnable, machine.isLongTermPinnable(folio) ? 1 : 0),
      ("mapcount", record.mapcount, machine.pageMappings(pfn)),
    ]
    if let flags = record.flags {
      func add(_ name: String, _ value: Bool) {
        checks.append((name, flags.contains(name) ? 1 : 0, value ? 1 : 0))
      }
      add("lru", state.isLRU)
      add("locked", state.flags.contains(.locked))
      add("dirty", state.flags.contains(.dirty))
      add("referenced", machine.isReferenced(folio))
      add("swapbacked", state.flags.contains(.swapBacked))
      add("unevictable", state.flags.contains(.unevictable))
      add("mlocked", state.flags.contains(.mlocked))
      // On the lists of MGLRU the generation says it.
      add("active", state.flags.contains(.active) && !state.isLRU)
    }
    if let recorded = record.class, recorded != letter {
      return ("page 0x\(hex(pfn.index)) of class \(recorded)", "class \(letter)")
    }
    for (name, recorded, model) in checks {
      if let recorded, recorded != model {
        return ("\(name) \(recorded) of page 0x\(hex(pfn.index))", "\(name) \(model)")
      }
    }
    return nil
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
}
