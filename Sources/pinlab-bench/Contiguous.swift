import MemoryModel
import MemoryOperations

// Contiguous memory: an area full of movable pages is emptied, and an area is searched.

/// `cma_alloc()` of 1 GiB whose pages all have to move.
func benchmarkContiguous() throws {
  let gib = isSmoke ? 1 : 64
  let wanted = (gib << 18) / 64
  // Most of the machine, so that half of what is filled lies in the area.
  let area = (gib << 18) * 5 / 8
  var configuration = try configuration(gib: gib)
  configuration.cmaAreas = [.init(name: "reserved", pages: area)]
  var guest = try Guest(pages: 1, configuration, hugePages: false)
  let pages = (gib << 18) * 3 / 4
  let space = guest.space
  let start = try guest.machine.mapArea(
    space, pages: pages, [.read, .write, .noHugePage], .anonymous
  ).get()
  var fill = PopulateOperation(
    space: space, pages: start..<start + pages, access: .write, writes: true)
  _ = run(&fill, &guest.machine)
  // The end of the area was filled first; what lies before it is out of the search.
  _ = guest.machine.reserveCMA(area: 0, pages: area - wanted, alignment: 0, from: 0)
  let before = guest.machine.event(named: "pgmigrate_success")
  var work = try guest.machine.cmaAllocation(area: 0, pages: wanted)
  let timing = run(&work, &guest.machine)
  let moved = guest.machine.event(named: "pgmigrate_success") - before
  guard let outcome = work.outcome, outcome.pfn != nil, moved > 0 else {
    return print("cma_alloc failed: \(String(describing: work.outcome?.result))")
  }
  row(
    "cma_alloc of \(wanted >> 8) MiB in a machine of \(gib) GiB, pages",
    Double(moved) / timing.seconds / 1e6, " M/s", .atLeast(5))
  row("  of \(wanted) pages it moves", Double(moved), "", digits: 0, .none("the more the better"))
  row("  longest slice", timing.longestSlice * 1000, " ms", .atMost(20))
}

/// The search for a free range in an area of 512 GiB of which every second page is taken.
func benchmarkAreaSearch() throws {
  let gib = isSmoke ? 4 : 512
  let pages = gib << 18
  var configuration = try configuration(gib: gib + gib / 4 + 2)
  configuration.cmaAreas = [.init(name: "reserved", pages: pages)]
  var machine = try Machine.boot(configuration)
  // Whole words of ones but for the last GiB: what a long search passes over.
  let kept = pages - 1 << 18
  guard machine.reserveCMA(area: 0, pages: kept, alignment: 0, from: 0) == 0 else {
    fatalError("no room")
  }
  for (name, holes) in [("full", false), ("with a hole every 2 MiB", true)] {
    if holes {
      for bit in stride(from: 0, to: kept, by: 512) {
        machine.unreserveCMA(area: 0, bit: bit, pages: 256)
      }
    }
    let spent = best(of: 3) {
      guard let bit = machine.reserveCMA(area: 0, pages: 1 << 18, alignment: 0, from: 0) else {
        fatalError("no room")
      }
      machine.unreserveCMA(area: 0, bit: bit, pages: 1 << 18)
    }
    row(
      "search for 1 GiB in an area of \(gib) GiB, \(name)", spent * 1000, " ms", digits: 2,
      .atMost(10))
  }
}
