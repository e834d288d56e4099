// What the replayer may rely on. Every number of an event is looked at once, when its line is decoded.

internal import MemoryModel

extension RecordingRecord {
  /// More frames than any machine of the model has.
  private static let frameLimit = 1 << 32
  private static let countLimit = 1 << 32

  /// What is wrong with the numbers of this record, or nil.
  func problem() -> String? {
    for event in ev ?? [] {
      if let problem = problem(event) { return "event \"\(event.code)\": " + problem }
    }
    for entry in zf ?? []
    where entry.count < 3 || !(0..<ZoneIndex.count).contains(entry[0]) {
      return "zf \(entry) is not [zone, free, free CMA]"
    }
    for zone in zones ?? [] {
      if let problem = zone.problem() { return "zone \(zone.name): " + problem }
    }
    for (name, runs) in pages ?? [:] {
      guard let zone = zones?.first(where: { $0.name == name }) else {
        return "pages of zone \(name), which is not in the dump"
      }
      for run in runs {
        // Inside its zone, so that no run is longer than what the machine has.
        guard (0...10).contains(run.order), (0...zone.spanned).contains(run.count),
          run.pfn >= zone.start_pfn,
          run.count << run.order <= zone.start_pfn + zone.spanned - run.pfn
        else { return "pages of \(name): a run of \(run.count) at \(run.pfn) leaves the zone" }
      }
    }
    if let sys, !(1...256).contains(sys.online_cpus) {
      return "online_cpus = \(sys.online_cpus) is not between 1 and 256"
    }
    for run in map ?? [] {
      guard (0..<Self.frameLimit).contains(run.index), (-1..<Self.frameLimit).contains(run.pfn),
        run.count > -Self.frameLimit, run.count < Self.frameLimit
      else { return "map of \(run.count) pages at \(run.index), pfn \(run.pfn)" }
    }
    if let addr, !(0..<1 << 56).contains(addr) { return "addr \(addr)" }
    for pool in hstates ?? [] {
      guard (0..<32).contains(pool.order) else { return "hstate of order \(pool.order)" }
      guard pool.free.count == pool.free_huge_pages else {
        return "free_huge_pages = \(pool.free_huge_pages), but \(pool.free.count) are listed"
      }
    }
    for area in cma ?? [] {
      for run in area.set_runs {
        guard run.count >= 2, (0..<Self.frameLimit).contains(run[0]),
          (0..<Self.frameLimit).contains(run[1])
        else { return "set_runs of CMA area \(area.name): \(run) is not [first bit, bits]" }
      }
    }
    if let count, !(0...Self.countLimit).contains(count) { return "count \(count)" }
    for batch in lru_batches ?? [] where !(0..<256).contains(batch.cpu) {
      return "lru_batches of CPU \(batch.cpu)"
    }
    return nil
  }

  private func problem(_ event: RecordingEvent) -> String? {
    let arguments = event.arguments
    switch event.code {
    case "a":
      guard arguments.count >= 4 else { return "\(arguments.count) numbers, expected 4 or more" }
      guard (0...10).contains(arguments[1]) else { return "order \(arguments[1])" }
      guard let mask = UInt32(exactly: arguments[2]) else { return "gfp \(arguments[2])" }
      if let reason = GFPFlags(rawValue: mask).contradiction { return reason }
      return problem(arguments[0], lowest: -1, repeats: event.repetition(after: 4), arguments[1])
    case "f":
      guard arguments.count >= 2 else { return "\(arguments.count) numbers, expected 2 or more" }
      guard (0...10).contains(arguments[1]) else { return "order \(arguments[1])" }
      return problem(arguments[0], lowest: 0, repeats: event.repetition(after: 2), arguments[1])
    default: return nil
    }
  }

  private func problem(_ pfn: Int, lowest: Int, repeats: Int, _ order: Int) -> String? {
    guard pfn >= lowest, pfn < Self.frameLimit else { return "pfn \(pfn)" }
    guard repeats > -Self.countLimit, repeats < Self.countLimit else { return "\(repeats) times" }
    let last = pfn + repeats << order
    return pfn >= 0 && !(-1 << order...Self.frameLimit).contains(last) ? "\(repeats) times" : nil
  }
}

extension DumpZone {
  /// What would lead outside of a table, or nil.
  ///
  /// ``MachineImage`` checks the rest.
  func problem() -> String? {
    guard (0..<ZoneIndex.count).contains(idx) else { return "idx \(idx)" }
    guard lowmem_reserve.count == ZoneIndex.count else {
      return "\(lowmem_reserve.count) reserves, expected \(ZoneIndex.count)"
    }
    let limit = 1 << 32
    guard (0..<limit).contains(start_pfn), (0...limit).contains(spanned) else {
      return "start_pfn \(start_pfn), spanned \(spanned)"
    }
    for area in free_area {
      guard (0...10).contains(area.order) else { return "free_area of order \(area.order)" }
    }
    for run in pageblocks {
      guard (0..<limit).contains(run.start), (0...limit >> 9).contains(run.count) else {
        return "\(run.count) pageblocks at \(run.start)"
      }
    }
    for pages in pcp {
      guard (0..<256).contains(pages.cpu) else { return "per-CPU pages of CPU \(pages.cpu)" }
      for list in pages.lists.values {
        for pfn in list where !(0..<limit).contains(pfn) { return "pfn \(pfn) on a per-CPU list" }
      }
    }
    return nil
  }
}
