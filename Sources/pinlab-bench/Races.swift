import LuaBridge
import MemoryLua
import MemoryModel

/// Orders of steps a second in race R1, two tasks, with and without going on once only from a state
/// that several orders lead to; three preemptions, so that it takes long enough to measure.
func benchmarkRaces() {
  let session = LuaSession { print($0, terminator: "") }
  session.register(MemoryLibrary.library(MemoryContext()))
  let setup = """
    m = machine{ ram = "64M", cma = "32M", cpus = 2 }
    vm = m:guest{ name = "vm", ram = "64K", backing = "memfd" }
    vm:populate()
    twin = vm:fork("twin")
    twin:populate()
    function pin(who) return function() who:pin{ length = "4K", longterm = true } end end
    function race(reduce, preemptions)
      local e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = preemptions,
        reduce = reduce }
      return e.schedules, e.covered, e.steps
    end
    """
  if case .failure(let error) = session.run(setup) { return print(error.message) }
  for (reduce, preemptions) in [(false, 2), (false, 3), (true, 3)] {
    var counts: [Int64] = []
    let taken = best(of: isSmoke ? 1 : 3) {
      counts =
        session.run("return race(\(reduce), \(preemptions))").values?.compactMap(\.integer) ?? []
    }
    guard counts.count == 3 else { return print("explore failed") }
    let name =
      "explore R1, \(preemptions) preemptions, " + (reduce ? "reduced, covered" : "every order")
    let orders = reduce ? counts[1] : counts[0]
    row(name, "\(Int(Double(orders) / taken)) /s", ">= 20000 /s")
    print(
      "    \(counts[0]) run, \(counts[1]) covered, \(counts[2]) steps, "
        + "\(fixed(taken * 1e9 / Double(counts[2]), 0)) ns a step")
  }
}
