import MemoryExploration
import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

struct ExplorerTests {
  @Test("S1.7, race R1: two long-term pins of one CMA page never leave it pinned in CMA")
  func twoPins() throws {
    let shared = try SharedPage()
    let before = try shared.cell.machine.fork()
    let report = try Explorer(shared.cell, shared.pins()).run(.exhaustive(preemptions: 2))
    #expect(report.violations.map(\.text) == [])
    #expect(
      Set(report.endStates.map(\.text)) == [
        "1 page | 1 page", "ENOMEM | 1 page", "1 page | ENOMEM",
      ])
    #expect(report.isComplete)
    let changed = difference(shared.cell.machine, before)
    #expect(changed == nil, "the machine is as it was")
  }

  @Test("Going on only once from a state loses no order, no end and no state of memory")
  func reduction() throws {
    for (fast, preemptions) in [(false, 1), (false, 2), (true, 2)] {
      let shared = try SharedPage()
      let whole = try Explorer(shared.cell, shared.pins(fast: fast), reduces: false)
        .run(.exhaustive(preemptions: preemptions))
      let reduced = try Explorer(shared.cell, shared.pins(fast: fast))
        .run(.exhaustive(preemptions: preemptions))
      #expect(whole.schedules == whole.covered)
      #expect(reduced.covered == whole.schedules)
      #expect(reduced.schedules <= whole.schedules)
      #expect(Set(reduced.endStates.map(\.text)) == Set(whole.endStates.map(\.text)))
      #expect(reduced.memoryStates == whole.memoryStates)
    }
  }

  @Test("race.noTestAndClear: both link the folio, and the schedule shows it when it is run")
  func mutant() throws {
    var kernel = Kernel.v6_12
    kernel.protections.testsAndClearsLRU = false
    let shared = try SharedPage(kernel: kernel)
    let report = try Explorer(shared.cell, shared.pins()).run(.exhaustive(preemptions: 2))
    let broken = try #require(report.violations.first { $0.text.hasPrefix("I4") })
    var run = try ScheduleRun(broken.schedule, shared.cell, shared.pins())
    for _ in 0..<broken.schedule.steps {
      let next = try run.next()
      try run.step(try #require(next))
    }
    #expect(shared.cell.machine.violations.count == 1)
    let text = broken.schedule.description
    #expect(Schedule(text, tasks: 2) == broken.schedule)
    #expect(Schedule(text, tasks: 1) == nil && Schedule("1*", tasks: 2) == nil)
  }

  @Test("Every end is reached by its schedule")
  func replay() throws {
    let shared = try SharedPage()
    let report = try Explorer(shared.cell, shared.pins()).run(.exhaustive(preemptions: 2))
    for state in report.endStates {
      let again = try MachineCell(shared.cell.machine.fork())
      var run = try ScheduleRun(state.schedule, again, shared.pins())
      while let task = try run.next() { try run.step(task) }
      let texts = run.tasks.tasks.map { $0.results.map(\.result.text).joined(separator: ", ") }
      #expect(texts.joined(separator: " | ") == state.text)
    }
  }

  @Test("Random orders end where the exhaustive search does", arguments: [1, 2, 3] as [UInt64])
  func random(seed: UInt64) throws {
    let shared = try SharedPage()
    var limits = SearchLimits()
    limits.schedules = 200
    for mode in [SearchMode.random(seed: seed), .priorities(seed: seed, changes: 3)] {
      let report = try Explorer(shared.cell, shared.pins(), limits: limits).run(mode)
      #expect(report.violations.map(\.text) == [], "seed \(seed)")
      #expect(report.schedules == 200)
      let known = ["1 page | 1 page", "ENOMEM | 1 page", "1 page | ENOMEM"]
      #expect(report.endStates.allSatisfy { known.contains($0.text) }, "seed \(seed)")
    }
  }
}
