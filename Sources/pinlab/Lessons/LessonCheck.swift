import PinLab

/// Goes through a lesson as its author says that learners do.
struct LessonCheck {
  let lesson: Lesson
  let seed: UInt64

  init(_ lesson: Lesson, seed: UInt64) {
    self.lesson = lesson
    self.seed = seed
  }

  /// - Returns: How many steps there are.
  func run() throws(LessonFailure) -> Int {
    let count = try LessonTable(lesson, session()).count
    for step in 1...count {
      // Each try begins where the answers before it lead.
      let (_, table) = try stand(before: step)
      let texts = try table.texts(step)
      guard !texts.ask.isEmpty else { throw LessonFailure("step \(step) asks for nothing") }
      guard try !table.hints(step).isEmpty else { throw LessonFailure("step \(step) has no hint") }
      if try table.check(step, source: nil, hasValue: false).isPassed {
        throw LessonFailure("step \(step) is done before anything is typed")
      }
      let wrong = try table.wrong(step)
      guard !wrong.isEmpty else { throw LessonFailure("step \(step) names nothing that is wrong") }
      for statement in wrong {
        let (session, table) = try stand(before: step)
        _ = try table.texts(step)
        if try passes(statement, step, session, table) {
          throw LessonFailure("step \(step) passes with `\(statement)`, which is said to be wrong")
        }
      }
      for answer in try [table.answer(step)] + table.also(step) {
        let (session, table) = try stand(before: step)
        _ = try table.texts(step)
        guard try passes(answer, step, session, table) else {
          throw LessonFailure("step \(step) does not pass with its answer `\(answer)`")
        }
      }
    }
    return count
  }

  private func session() -> PinLabSession { PinLabSession(seed: seed) { _ in } }

  private func stand(before step: Int) throws(LessonFailure) -> (PinLabSession, LessonTable) {
    let session = session()
    let table = try LessonTable(lesson, session)
    try table.lead(to: step)
    return (session, table)
  }

  private func passes(
    _ statement: String, _ step: Int, _ session: PinLabSession, _ table: LessonTable
  ) throws(LessonFailure) -> Bool {
    let evaluation = session.evaluate(statement)
    guard evaluation.outcome.failure == nil else { return false }
    return try table.check(step, source: statement, hasValue: !evaluation.displays.isEmpty).isPassed
  }
}
