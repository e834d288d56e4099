import LuaBridge
import MemoryLua
import MemoryModel

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

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
    // On a computer that others use, too, the CPU's clock says more than the wall's.
    var onCPU = Double.infinity
    let taken = best(of: isSmoke ? 1 : 3) {
      let before = clock()
      defer { onCPU = min(onCPU, max(1e-6, Double(clock() - before) / Double(CLOCKS_PER_SEC))) }
      counts =
        session.run("return race(\(reduce), \(preemptions))").values?.compactMap(\.integer) ?? []
    }
    guard counts.count == 3 else { return print("explore failed") }
    let name =
      "explore R1, \(preemptions) preemptions, " + (reduce ? "reduced, covered" : "every order")
    let orders = reduce ? counts[1] : counts[0]
    row(name, Double(orders) / taken, " /s", digits: 0, .atLeast(20_000))
    print(
      "    \(counts[0]) run, \(counts[1]) covered, \(counts[2]) steps, "
        + "\(fixed(taken * 1e9 / Double(counts[2]), 0)) ns a step, "
        + "\(Int(Double(orders) / onCPU)) /s on the CPU")
  }
  benchmarkRaceScripts()
}

/// All scripts of Scripts/races, where the program is started in the project's folder.
private func benchmarkRaceScripts() {
  let names = (1...16).map { "R\($0)-" }
  guard let folder = unsafe opendir("Scripts/races") else { return }
  defer { unsafe closedir(folder) }
  var files: [String] = []
  while let entry = unsafe readdir(folder) {
    let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if names.contains(where: { name.hasPrefix($0) }), name.hasSuffix(".lua") { files.append(name) }
  }
  if isSmoke { files = files.filter { $0.hasPrefix("R6-") } }
  var failed: [String] = []
  let before = clock()
  let taken = seconds {
    for name in files.sorted() {
      guard let file = unsafe fopen("Scripts/races/" + name, "r") else { continue }
      var source = ""
      while let line = unsafe readLine(of: file) { source += line }
      unsafe fclose(file)
      let session = LuaSession { _ in }
      session.register(MemoryLibrary.library(MemoryContext()))
      if case .failure = session.run(source, chunkName: name) { failed.append(name) }
    }
  }
  row("all \(files.count) scripts of Scripts/races", taken, " s", .atMost(300))
  print(
    "    \(fixed(Double(clock() - before) / Double(CLOCKS_PER_SEC), 1)) s on the CPU"
      + (failed.isEmpty ? "" : ", FAILED: \(failed.joined(separator: ", "))"))
}

/// The next line with its newline.
private func readLine(of file: UnsafeMutablePointer<FILE>) -> String? {
  var line: UnsafeMutablePointer<CChar>?
  var room = 0
  defer { unsafe free(line) }
  guard unsafe getline(&line, &room, file) >= 0, let text = unsafe line else { return nil }
  return unsafe String(cString: text)
}
