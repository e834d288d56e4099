import MemoryExploration
import MemoryModel
import MemoryOperations
import Testing

/// A small machine on which two processes map the same shmem pages, which lie in CMA.
struct SharedPage {
  let cell: MachineCell
  let spaces: [Int]
  let starts: [Int]

  init(pages: Int = 1, processes: Int = 2, kernel: Kernel = .v6_12) throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [64 << 20])
    configuration.cpuNodes = [0, 0]
    configuration.kernel = kernel
    configuration.cmaAreas = [.init(name: "reserved", pages: 32 << 8)]
    let cell = MachineCell(try Machine.boot(configuration))
    self.cell = cell
    cell.machine.settings.transparentHugePages = false
    var found: ([Int], [Int])?
    for _ in 0..<64 where found == nil {
      let file = try cell.machine.createFile(.shmem, name: "ram", pages: pages).get()
      var spaces: [Int] = []
      var starts: [Int] = []
      for index in 0..<processes {
        let made = cell.machine.createSpace(name: "vm\(index)")
        let space = try #require(made)
        let start = try cell.machine.mapArea(
          space, pages: pages, [.read, .write, .shared], .file(file, offset: 0)
        ).get()
        let run = cell.machine.faultRange(space, start..<start + pages, .write)
        try #require(run.done == pages)
        spaces.append(space)
        starts.append(start)
      }
      cell.machine.drainAllLRU()
      let (space, start) = (spaces[0], starts[0])
      let inCMA = (0..<pages).allSatisfy { page in
        cell.machine.frame(space, page: start + page).map {
          cell.machine.frames.migrateType($0) == .cma
        } ?? false
      }
      if inCMA { found = (spaces, starts) }
    }
    (spaces, starts) = try #require(found, "no pages in CMA")
  }

  func pin(_ process: Int, pages: Int = 1, fast: Bool = false) -> Pin {
    Pin(
      PinRequest(
        space: spaces[process], startPage: starts[process], pages: pages,
        flags: [.write, .longTerm], entryPoint: fast ? .fast : .locked))
  }

  /// The program in which each process pins.
  func pins(pages: Int = 1, fast: Bool = false) -> FixedProgram {
    FixedProgram(
      spaces.indices.map { [("vm\($0):pin", pin($0, pages: pages, fast: fast))] })
  }
}
