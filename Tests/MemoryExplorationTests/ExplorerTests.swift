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
    let explorer = Explorer(shared.cell, shared.pins())
    let report = try explorer.run(.exhaustive(preemptions: 2))
    let states = Set(report.endStates.map(\.text))
    #expect(report.violations.map(\.text) == [])
    #expect(states == ["1 page | 1 page", "ENOMEM | 1 page", "1 page | ENOMEM"])
    #expect(report.isComplete)
    let changed = difference(shared.cell.machine, before)
    #expect(changed == nil, "the machine is as it was")
    print(
      "R1: \(report.schedules) run, \(report.covered) covered, \(report.steps) steps,",
      "\(report.memoryStates.count) memory states; \(report.endStates.map { ($0.text, "\($0.schedule)") })"
    )
  }
}
