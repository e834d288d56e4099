import LuaBridge
import PinLab

// Invariant: the table that a lesson's chunk returned stands in the global `_LESSON` of the session whose
// machines it checks; nobody else holds it.

/// The steps of the lesson that a session has loaded.
struct LessonTable {
  private let session: PinLabSession
  let count: Int

  /// What a step shows before the learner acts.
  struct Texts {
    let text: String
    let ask: String
  }

  /// What came of looking at a learner's machine.
  struct Verdict {
    let isPassed: Bool
    /// Why not, or what to know about it now.
    let message: String
  }

  /// Loads a lesson into a session and runs its `setup`.
  init(_ lesson: Lesson, _ session: PinLabSession) throws(LessonFailure) {
    self.session = session
    // One line, so that the numbers of the file's lines stay.
    let loaded = session.run(
      "_LESSON = (function(...) " + lesson.source + "\nend)() return #_LESSON",
      chunkName: "@\(lesson.path)")
    if let error = loaded.failure { throw LessonFailure(error.message) }
    guard let count = loaded.values?.first?.integer, count > 0 else {
      throw LessonFailure("\(lesson.path): it returns no table of steps")
    }
    self.count = Int(count)
    _ = try call("setup")
  }

  /// What a step says; a prediction's answer is computed now, before anything changes.
  func texts(_ step: Int) throws(LessonFailure) -> Texts {
    let values = try call("text", step)
    return Texts(text: values[0].string ?? "", ask: values[1].string ?? "")
  }

  func hints(_ step: Int) throws(LessonFailure) -> [String] {
    try call("hints", step).map { $0.string ?? "" }
  }

  /// The statements that solve a step.
  func answer(_ step: Int) throws(LessonFailure) -> String {
    try call("answer", step).first?.string ?? ""
  }

  /// Statements that must not pass.
  func wrong(_ step: Int) throws(LessonFailure) -> [String] {
    try call("wrong", step).map { $0.string ?? "" }
  }

  /// Other statements that solve it.
  func also(_ step: Int) throws(LessonFailure) -> [String] {
    try call("also", step).map { $0.string ?? "" }
  }

  /// Does all that comes before a step, as its answers do it.
  func lead(to step: Int) throws(LessonFailure) {
    for earlier in 1..<step {
      _ = try texts(earlier)
      let answer = try answer(earlier)
      let evaluation = session.evaluate(answer)
      if let error = evaluation.outcome.failure { throw LessonFailure(error.message) }
      let hasValue = !evaluation.displays.isEmpty
      guard try check(earlier, source: answer, hasValue: hasValue).isPassed else {
        throw LessonFailure("step \(earlier) does not pass with its answer `\(answer)`")
      }
    }
  }

  /// Looks whether a step is done.
  ///
  /// - Parameters:
  ///   - source: What the learner typed; nil when nothing was.
  ///   - hasValue: Whether it had a value, which stands in `_`.
  func check(_ step: Int, source: String?, hasValue: Bool) throws(LessonFailure) -> Verdict {
    let values = try call("check", step, source ?? "", hasValue ? "value" : "")
    return Verdict(
      isPassed: values.first?.boolean ?? false,
      message: values.count > 1 ? values[1].string ?? "" : "")
  }

  /// Forgets the lesson; what it made stays.
  func unload() { session.run("_LESSON = nil", chunkName: "=lesson") }

  private func call(
    _ what: String, _ step: Int = 0, _ arguments: String...
  ) throws(LessonFailure) -> [LuaValue] {
    let outcome = session.run(
      Self.driver, chunkName: "=lesson", arguments: [what, String(step)] + arguments)
    if let error = outcome.failure { throw LessonFailure(error.message) }
    return outcome.values ?? []
  }

  private static let driver = """
    local what, number, source, flag = ...
    local lesson = _LESSON
    local step = lesson[tonumber(number)]
    local function text(value)
      if type(value) == "function" then value = value() end
      return value and tostring(value) or ""
    end
    if what == "setup" then
      if lesson.setup then lesson.setup() end
    elseif what == "text" then
      if step.expect ~= nil then
        step.wanted = step.expect
        if type(step.wanted) == "function" then step.wanted = step.wanted() end
        if step.wanted == nil then error("what it expects is nil") end
      end
      return text(step.text), text(step.ask)
    elseif what == "hints" then
      return table.unpack(step.hints or {})
    elseif what == "wrong" or what == "also" then
      return table.unpack(step[what] or {})
    elseif what == "answer" then
      if step.answer then return text(step.answer) end
      return type(step.wanted) == "string" and string.format("%q", step.wanted) or tostring(step.wanted)
    elseif what == "check" then
      local value
      if flag == "value" then value = _ end
      if step.expect == nil then
        local ran, passed, done, miss = pcall(step.check, value, source)
        -- Names that the learner has not made yet.
        if not ran then return false, "" end
        if passed then return true, text(done or step.done) end
        return false, text(miss)
      end
      if step.wanted ~= nil and value == step.wanted then return true, text(step.done) end
      local wanted = type(step.wanted)
      if wanted == "string" and source:match("^%s*(.-)%s*$") == step.wanted then
        return false, 'Almost: the answer is a text, and stands between quotes: "' .. step.wanted .. '"'
      end
      -- Only what is meant as an answer is judged; looking around is free.
      local literal = source:match("^%s*[%w.]+%s*$") or source:match('^%s*"[^"]*"%s*$')
        or source:match("^%s*'[^']*'%s*$")
      if value == nil or not literal then return false, "" end
      if type(value) ~= wanted then
        local kinds = { number = "a number", string = "a text, between quotes", boolean = "true or false" }
        return false, kinds[wanted] and "The answer is " .. kinds[wanted] .. "." or ""
      end
      return false, step.miss and text(step.miss(value)):match(".+") or "no, not " .. tostring(value)
    end
    """
}
