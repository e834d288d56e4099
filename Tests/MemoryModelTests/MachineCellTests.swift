import MemoryModel
import Testing

/// Work that is owed to a machine is done before anybody sees it.
@Suite struct MachineCellTests {
  private func cell() throws -> MachineCell {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [64 << 20])
    return MachineCell(try Machine.boot(configuration))
  }

  /// Owed work that takes a page, so that whoever looks can tell.
  private func owePage(_ cell: MachineCell) {
    cell.owe { machine in _ = machine.allocatePages(order: 0, gfp: .kernel) }
  }

  private func taken(_ cell: MachineCell) -> Int {
    cell.machine.event(named: "pgalloc_dma32") + cell.machine.event(named: "pgalloc_dma")
  }

  @Test func isDoneOnceBeforeALook() throws {
    let cell = try cell()
    let before = taken(cell)
    owePage(cell)
    #expect(taken(cell) == before + 1)
    #expect(taken(cell) == before + 1)
  }

  @Test func isDoneBeforeAChange() throws {
    let cell = try cell()
    let before = taken(cell)
    owePage(cell)
    // Who watches for the next change finds it done.
    var seen = 0
    cell.beforeChange = { seen = $0.event(named: "pgalloc_dma32") + $0.event(named: "pgalloc_dma") }
    cell.machine.run(onCPU: 0)
    #expect(seen == before + 1)
  }

  @Test func isDoneBeforeMoreIsOwed() throws {
    let cell = try cell()
    let before = taken(cell)
    owePage(cell)
    owePage(cell)
    #expect(taken(cell) == before + 2)
  }

  @Test func staysWithItsMachine() throws {
    let (cell, other) = (try cell(), try cell())
    let before = taken(cell)
    owePage(cell)
    cell.exchange(with: other)
    #expect(taken(cell) == before && taken(other) == before + 1)
  }

  @Test func isPartOfAFork() throws {
    let cell = try cell()
    let before = taken(cell)
    owePage(cell)
    let copy = MachineCell(try cell.machine.fork())
    #expect(taken(copy) == before + 1)
  }
}
