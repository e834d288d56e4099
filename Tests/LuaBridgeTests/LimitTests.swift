// Whatever a script does, its host gets control back.

import Glibc
import LuaBridge
import Synchronization
import Testing

@Suite struct LimitTests {
  /// Scripts that never end by themselves, each by another road.
  static let endless = [
    "while true do end",
    "for i = 1, math.maxinteger do end",
    "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "local co = coroutine.create(function() while true do coroutine.yield() end end) "
      + "while true do coroutine.resume(co) end",
    "while true do local co = coroutine.create(function() while true do end end) "
      + "coroutine.resume(co) end",
    "coroutine.wrap(function() pcall(coroutine.wrap(function() while true do end end)) "
      + "while true do end end)()",
    "string.find(('a'):rep(28), ('a?'):rep(28) .. ('a'):rep(28))",
    "while true do pcall(string.find, ('a'):rep(28), ('a?'):rep(28) .. ('a'):rep(28)) end",
    "coroutine.wrap(function() string.match(('a'):rep(40), ('a-'):rep(30) .. 'b') end)()",
    "string.gsub(('x'):rep(10), '.', function() while true do end end)",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
    "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
    "table.move(setmetatable({}, {}), 1, 1 << 60, 2)",
    "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)",
    "spin()",
    "pcall(spin) while true do end",
    "each({1}, function() while true do end end)",
    "each({1}, spin)",
    "xpcall(function() while true do end end, function() while true do end end)",
    "xpcall(error, function() while true do end end)",
    "while true do xpcall(error, function() while true do end end) end",
    "do local c <close> = setmetatable({}, {__close = function() while true do end end}) end",
    "local co = coroutine.create(function() local c <close> = setmetatable({}, "
      + "{__close = function() while true do end end}) coroutine.yield() end) "
      + "coroutine.resume(co) while true do coroutine.close(co) end",
    "print(setmetatable({}, {__tostring = function() while true do end end}))",
    "for k in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end",
    "load(function() while true do end end)",
    "goto a ::a:: goto a",
    "local function f() return f() end f()",
    "string.rep('ab', 1 << 60, '')  while true do end",
    "while true do error(setmetatable({}, {__tostring = function() while true do end end})) end",
  ]

  @Test(arguments: endless) func timeLimitStops(source: String) {
    let clock = ContinuousClock()
    let session = Fixture.session(LuaLimits(time: .milliseconds(60)))
    var outcome: LuaOutcome?
    let took = clock.measure { outcome = session.run(source, chunkName: "=t") }
    #expect(outcome?.failure != nil)
    #expect(took < .seconds(5))
    // The session is good for another run.
    #expect(session.run("return 1 + 1").values?.first?.integer == 2)
  }

  @Test(arguments: endless) func interruptStops(source: String) {
    let session = Fixture.session()
    let interrupter = session.interrupter
    let stopper = Stopper(interrupter)
    let outcome = session.run(source, chunkName: "=t")
    stopper.join()
    #expect(outcome.failure != nil)
    #expect(session.run("return 1 + 1").values?.first?.integer == 2)
  }

  @Test func instructionLimitStops() {
    let session = Fixture.session(LuaLimits(instructions: 100_000))
    let failure = session.run("while true do end", chunkName: "=t").failure
    #expect(failure?.message == "t:1: instruction limit reached (100000)")
    #expect(failure?.stop == .instructions)
    #expect(session.run("for i = 1, 1000 do end").failure == nil)
  }

  @Test(arguments: [
    "local t = {} while true do t[#t + 1] = {} end",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
    "string.rep('x', 1 << 40)",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
    "local co = coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end) co()",
    "table.concat(setmetatable({}, {__index = function() return 'xxxxxxxxxxxxxxxx' end}), '', 1, 1e9)",
    "local t = {} while true do t[#t + 1] = counter{} end",
    "local s = string.rep('x', 3e7) return (s:gsub('.', '%0%0'))",
  ])
  func memoryLimitStops(source: String) {
    let session = Fixture.session(LuaLimits(memory: 32 << 20))
    let failure = session.run(source, chunkName: "=t").failure
    #expect(failure != nil)
    #expect(session.run("return 1 + 1").values?.first?.integer == 2)
    _ = session.run("collectgarbage()")
    // Emptied hash tables keep their room until something is added.
    #expect(session.memoryUsed < 16 << 20)
  }

  /// Garbage above the limit is not use above the limit.
  @Test func garbageDoesNotCount() {
    let session = Fixture.session(LuaLimits(memory: 8 << 20))
    let failure = session.run("for i = 1, 200000 do local s = ('x'):rep(1000) .. i end").failure
    #expect(failure == nil)
  }

  @Test func messageSaysWhereAndWhy() {
    let session = Fixture.session(LuaLimits(time: .milliseconds(20)))
    let failure = session.run("\nwhile true do end", chunkName: "=t").failure
    #expect(failure?.message == "t:2: time limit reached (0.02 s)")
    #expect(failure?.stop == .time)
  }
}

/// Interrupts after 30 ms, and again every 30 ms until joined: the first may come before the run.
final class Stopper: @unchecked Sendable {
  private let interrupter: LuaInterrupter
  private var thread = pthread_t()
  private let lock = Mutex(false)

  init(_ interrupter: LuaInterrupter) {
    self.interrupter = interrupter
    unsafe pthread_create(
      &thread, nil,
      { context in
        let stopper = unsafe Unmanaged<Stopper>.fromOpaque(context!).takeUnretainedValue()
        repeat {
          usleep(30_000)
          stopper.interrupter.interrupt()
        } while !stopper.lock.withLock { $0 }
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  func join() {
    lock.withLock { $0 = true }
    pthread_join(thread, nil)
  }
}
