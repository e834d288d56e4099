import LuaBridge
import MemoryLua
import MemoryModel
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Random statements, taken back and done again, on forks and on loaded machines, against a machine that
/// only ever did what is left of them.
@Suite struct UndoTests {
  static let start = """
    m = machine{ ram = "96M", cpus = 2, cma = "32M", thp = "never" }
    a = m:guest{ name = "a", ram = "512K" }
    b = m:guest{ name = "b", ram = "256K", backing = "memfd" }
    """

  /// A statement that finds what it works on by itself, so that it means the same whenever it runs.
  static func statement(_ random: inout SplitMix64) -> String {
    func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    let guest = ["\"a\"", "\"b\""][number(0..<2)]
    let range = "from = \(number(0..<48) << 12), length = \(number(1..<16) << 12)"
    let positions = "\(number(0..<48) << 12), \(number(1..<16) << 12)"
    let any = number(0..<1000)
    func one(_ list: String, _ method: String) -> String {
      "local x = m:\(list)() if #x > 0 then x[\(any) % #x + 1]:\(method)() end"
    }
    switch number(0..<18) {
    case 0, 1: return "m:guest(\(guest)):populate(\(positions))"
    case 2: return "m:guest(\(guest)):write(\(positions))"
    case 3, 4: return "m:guest(\(guest)):pin{ \(range), longterm = true }"
    case 5: return "m:guest(\(guest)):pin{ \(range), write = false }"
    case 6, 7: return one("pins", "unpin")
    case 8: return "m:cma_alloc(\(number(1..<600)))"
    case 9: return one("cma_buffers", "release")
    case 10: return "m:offline(m:memory_blocks()[1].number, 2)"
    case 11: return "m:guest(\(guest)):migrate(\(positions))"
    case 12: return "m:pressure(\(number(1..<200) << 12))"
    case 13: return one("pressures", "release")
    case 14: return "m:guest(\(guest)):madvise(\"dontneed\", \(positions))"
    case 15: return "m:kernel(\(["\"5.10\"", "\"6.12\"", "\"6.9\""][number(0..<3)]))"
    case 16: return "m.cpu = \(number(0..<2))"
    default: return "m:tick(2)"
    }
  }

  private static var seeds: [UInt64] {
    if let own = unsafe getenv("PINLAB_SEED"), let seed = UInt64(unsafe String(cString: own)) {
      return [seed]
    }
    return Array(1...8)
  }

  @Test(arguments: seeds) func goesBackToTheByte(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let history = UndoHistory()
    let context = MemoryContext()
    context.history = history
    context.writing = .anywhere
    let lua = LuaSession(output: { _ in })
    lua.register(MemoryLibrary.library(context))
    let path = "/tmp/pinlab-undo-\(getpid())-\(seed)"
    defer { unsafe unlink(path) }
    func run(_ source: String, _ step: Int) {
      let failure = lua.run(source).failure
      #expect(failure == nil, "seed \(seed), step \(step): \(source): \(failure?.message ?? "")")
    }
    func prompt(_ source: String, _ step: Int) {
      history.begin(source)
      run("pcall(load(\"\(source.replacing("\"", with: "\\\""))\"))", step)
      let notes = history.end()
      #expect(notes.isEmpty, "seed \(seed), step \(step): \(notes)")
    }
    run(Self.start, 0)
    run("states = { m:fork() }", 0)
    // What is left of the statements; `states[n]` is the machine in front of statement n.
    var program: [String] = []
    var undone: [String] = []
    for step in 1...60 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0, 1:
        guard let last = program.last else { continue }
        // A statement that changed nothing is no step back.
        run("changed = not (m:same(states[\(program.count)]))", step)
        let isChanged = lua.run("return changed").values?.first?.boolean == true
        program.removeLast()
        if isChanged {
          #expect(history.undo() != nil, "seed \(seed), step \(step)")
          undone.append(last)
        }
        run("local s, what = m:same(states[\(program.count + 1)]) assert(s, what)", step)
      case 2:
        guard let next = undone.popLast() else { continue }
        #expect(history.redo() != nil, "seed \(seed), step \(step)")
        program.append(next)
        run("local s, what = m:same(states[\(program.count + 1)]) assert(s, what)", step)
      case 3:
        // A fork and a loaded machine go their own way, and this one does not notice.
        run(
          """
          local before = m:fork()
          m:save("\(path)")
          local keep = m
          for _, other in ipairs{ m:fork(), machine{ from = "\(path)" } } do
            assert((other:same(before)))
            m = other
            \((0..<3).map { _ in "pcall(load([[\(Self.statement(&random))]]))" }.joined(separator: "\n"))
            assert(other:check() == true, tostring(other:check()))
          end
          m = keep
          local s, what = m:same(before)
          assert(s, what)
          """, step)
      default:
        let source = Self.statement(&random)
        run("before = m:fork()", step)
        prompt(source, step)
        let isChanged = lua.run("return not (m:same(before))").values?.first?.boolean == true
        if !isChanged { continue }
        program.append(source)
        undone.removeAll()
        run("states[\(program.count + 1)] = m:fork()", step)
      }
      run("local s = m:check() assert(s == true, s)", step)
    }
    // From scratch, without ever having gone back.
    run("mine = m", 61)
    run(Self.start, 62)
    for source in program { run("pcall(load([[\(source)]]))", 63) }
    run("local s, what = m:same(mine) assert(s, what)", 64)
    #expect(program.count > 5, "seed \(seed)")
  }

  private func prompt() -> (LuaSession, UndoHistory, (String) -> String?) {
    let history = UndoHistory()
    let context = MemoryContext()
    context.history = history
    let lua = LuaSession(output: { _ in })
    lua.register(MemoryLibrary.library(context))
    return (
      lua, history,
      { source in
        history.begin(source)
        let failure = lua.run(source).failure?.message
        _ = history.end()
        return failure
      }
    )
  }

  @Test func objectsGoBackWithTheirMachine() {
    let (lua, history, enter) = prompt()
    #expect(enter("m = machine{ ram = \"64M\", cma = \"16M\" }") == nil)
    #expect(enter("c = m:cma_alloc(16)") == nil)
    #expect(enter("c:release()") == nil)
    #expect(lua.run("return c.released").values?.first?.boolean == true)
    #expect(history.undo() != nil)
    #expect(lua.run("return c.released").values?.first?.boolean == false)
    #expect(enter("c:release()") == nil)
    #expect(enter("m:kernel(\"5.10\")") == nil)
    #expect(history.undo() != nil)
    #expect(lua.run("return m:kernel().name").values?.first?.string == "6.12")
  }

  @Test func stepsAreTakenBackOneByOne() {
    let (lua, history, enter) = prompt()
    #expect(enter("m = machine{ ram = \"64M\", cma = \"32M\", cpus = 2 }") == nil)
    #expect(enter("vm = m:guest{ ram = \"64K\", thp = \"never\" }  vm:populate()") == nil)
    #expect(enter("t = step(function() p = vm:pin{ length = \"4K\", longterm = true } end)") == nil)
    var ids: [String?] = []
    func place() -> String? {
      lua.run("local w = t:where() return w and w.id .. w.text").values?.first?.string
    }
    for _ in 0..<12 {
      ids.append(place())
      #expect(enter("t:next()") == nil)
    }
    for step in ids.indices.reversed() {
      #expect(history.undo() != nil)
      #expect(place() == ids[step], "step \(step)")
    }
    for step in ids.indices.dropFirst() {
      #expect(history.redo() != nil)
      #expect(place() == ids[step], "step \(step)")
    }
    let last = place()
    #expect(enter("t:run()") == nil)
    #expect(lua.run("return p.pages").values?.first?.integer == 1)
    #expect(lua.run("return m:check()").values?.first?.boolean == true)
    // Its Lua has run on: the call can be taken back and taken again, and ends the task.
    #expect(history.undo() != nil)
    #expect(place() == last)
    let text = lua.run("return tostring(t)").values?.first?.string
    #expect(text?.contains("undo went behind what its function did") == true)
    #expect(lua.run("return #m:tasks()").values?.first?.integer == 1)
    #expect(enter("t:run()") == nil)
    #expect(
      lua.run("return t.done and #m:pins() == 1 and m:check()").values?.first?.boolean == true)
    #expect(history.undo() != nil)
    #expect(place() == last)
    #expect(history.redo() != nil)
    #expect(lua.run("return t.done and #m:tasks() == 0").values?.first?.boolean == true)
    while history.undo() != nil {}
    #expect(place() == ids[0])
    #expect(lua.run("return m:check()").values?.first?.boolean == true)
  }

  @Test func aHandleOfTheSameStatementGoesBackToItsBeginning() {
    let (lua, history, enter) = prompt()
    #expect(enter("m = machine{ ram = \"64M\", cma = \"32M\", cpus = 2 }") == nil)
    #expect(enter("vm = m:guest{ ram = \"64K\", thp = \"never\" }") == nil)
    #expect(enter("t = step(function() vm:populate() end):run()") == nil)
    #expect(lua.run("return t.done").values?.first?.boolean == true)
    #expect(history.undo() != nil)
    #expect(lua.run("return t:where().id").values?.first?.string == "t1")
    #expect(enter("t:run()") == nil)
    #expect(lua.run("return vm:resident().pages").values?.first?.integer == 16)
  }

  /// Nobody can end a call whose handle is gone, so it is not gone.
  @Test func handlesThatNobodyNamesAreFound() {
    let (lua, history, enter) = prompt()
    #expect(enter("m = machine{ ram = \"64M\", cma = \"32M\", cpus = 2 }") == nil)
    #expect(enter("vm = m:guest{ ram = \"64K\", thp = \"never\" }  vm:populate()") == nil)
    let made = """
      step(function() p = vm:pin{ length = "4K", longterm = true } end):to("m6")
      """
    #expect(enter(made) == nil)
    #expect(enter("collectgarbage() collectgarbage()") == nil)
    #expect(enter("m:save(\"/tmp/x\")") != nil)
    #expect(lua.run("return m:tasks()[1]:where().id").values?.first?.string == "m6")
    // It has a CPU to itself.
    #expect(enter("u = step(function() vm:read() end)") == nil)
    #expect(
      lua.run("return u:where().cpu ~= m:tasks()[1]:where().cpu").values?.first?.boolean == true)
    #expect(enter("m:tasks()[1]:run()") == nil)
    #expect(lua.run("return #m:tasks() == 0 and p.pages == 1").values?.first?.boolean == true)
    #expect(lua.run("return m:check()").values?.first?.boolean == true)
    #expect(history.undo() != nil)
    #expect(lua.run("return m:tasks()[1]:where().id").values?.first?.string == "m6")
  }

  @Test func undoAmongOtherCallsOfOneStatement() {
    let (lua, history, enter) = prompt()
    #expect(enter("m = machine{ ram = \"64M\" } a = m:fork()") == nil)
    // What comes before and behind an undo are statements of their own.
    history.begin("alloc, undo, alloc")
    _ = lua.run("m:alloc_pages(3) b = m:fork()")
    #expect(history.undo() == "alloc, undo, alloc")
    #expect(lua.run("return m:same(a)").values?.first?.boolean == true)
    _ = lua.run("m:alloc_pages(1) c = m:fork()")
    _ = history.end()
    #expect(history.redo() == nil)
    #expect(history.undo() == "alloc, undo, alloc")
    #expect(lua.run("return m:same(a)").values?.first?.boolean == true)
    #expect(history.redo() == "alloc, undo, alloc")
    #expect(lua.run("return m:same(c)").values?.first?.boolean == true)
  }
}
