import LuaBridge
import PinLab

// Invariant: while a lesson is under way, `step` is a step of its table, and was shown. Functions that the
// learner calls only leave a request: a Lua call may not run other chunks, so it is carried out after the
// statement.

/// Takes a learner through lessons: shows a step, looks after every statement whether it is done, helps.
final class Tutor {
  private let session: PinLabSession
  private let lessons: [Lesson]
  private var progress: LessonProgress
  private var lesson: Lesson?
  private var table: LessonTable?
  private var step = 0
  private var hintsGiven = 0
  /// Statements in a row that nothing was said to.
  private var silent = 0
  private var request: Request?

  private enum Request {
    case list
    case begin(String, step: Int?)
    case show, hint, skip, again, leave
  }

  init(_ session: PinLabSession, _ lessons: [Lesson], _ progress: LessonProgress) {
    self.session = session
    self.lessons = lessons
    self.progress = progress
  }

  /// Whether the lesson that was begun is at its end.
  private(set) var isFinished = false

  /// Whether machines of a lesson are among those of the session.
  private(set) var hasBegun = false

  /// Those of its functions that a learner may type without the brackets.
  static let commands: Set<String> = ["lessons", "lesson", "hint", "skip", "again", "leave"]

  /// What the prompt offers.
  var library: LuaLibrary {
    // The prompt, its tutor and its session live on one thread.
    nonisolated(unsafe) let tutor = self
    func function(
      _ name: String, _ doc: String, _ parameters: [LuaParameter] = [],
      _ request: @escaping @Sendable (borrowing LuaCall) -> Void
    ) -> LuaFunction {
      LuaFunction(name, .positional, parameters, doc: doc) { call in request(call) }
    }
    return LuaLibrary(
      "lessons", doc: "Lessons that look whether a task is done.",
      functions: [
        function("lessons", "Lists the lessons, and how far you are in each.") { _ in
          unsafe tutor.request = .list
        },
        function(
          "lesson", "Begins a lesson where you left it, or shows its step again.",
          [
            LuaParameter(
              "which", .any, default: "the one that is under way",
              "Its number, or words of its title."),
            LuaParameter(
              "step", .integer(1...99), default: "where you left", "The step to begin at."),
          ]
        ) { call in
          unsafe tutor.request =
            call.isGiven(0)
            ? .begin(call.display(0), step: call.isGiven(1) ? call.integer(1) : nil) : .show
        },
        function("hint", "Helps with the step of the lesson, more each time.") { _ in
          unsafe tutor.request = .hint
        },
        function("skip", "Shows and enters the answer of the lesson's step.") { _ in
          unsafe tutor.request = .skip
        },
        function(
          "again",
          "Puts the lesson's machines back to where its step began; wrong tries cost nothing."
        ) { _ in unsafe tutor.request = .again },
        function("leave", "Leaves the lesson; lesson(which) goes on with it.") { _ in
          unsafe tutor.request = .leave
        },
      ])
  }

  /// Begins a lesson before the first statement.
  ///
  /// - Returns: What to show.
  func begin(_ name: String, step: Int? = nil) -> String {
    switch Lesson.named(name, in: lessons) {
    case .failure(let failure): return wrapped(failure.description)
    case .success(let lesson): return begin(lesson, step: step)
    }
  }

  /// Looks at what a statement did.
  ///
  /// - Parameters:
  ///   - source: The statement, which ran without an error.
  ///   - hasValue: Whether it had a value.
  /// - Returns: What to show after the statement's own output; empty for nothing.
  func look(after source: String, hasValue: Bool) -> String {
    defer { request = nil }
    switch request {
    case .list: return list()
    case .begin(let name, let step): return begin(name, step: step)
    case nil: return table == nil ? "" : check(source, hasValue: hasValue)
    default: break
    }
    guard let lesson, let table else {
      return wrapped("no lesson is under way; lessons() lists them, lesson(1) begins the first")
    }
    do throws(LessonFailure) {
      switch request {
      case .show: return try shown(table)
      case .hint: return try hint(table)
      case .skip: return try skip(table)
      case .again: return begin(lesson, step: step)
      case .leave:
        remember(lesson)
        end()
        return "left at step \(step) of \(table.count); lesson(\"\(lesson.id)\") goes on there"
      default: return ""
      }
    } catch {
      return broken(error)
    }
  }

  /// What to add to the error of a statement that did not run.
  func advise(on source: String) -> String? {
    guard let table else { return nil }
    let verdict = try? table.check(step, source: source, hasValue: false)
    guard let message = verdict?.message, message.hasPrefix("Almost") else { return nil }
    return wrapped(message)
  }

  // MARK: Steps

  /// What a lesson says that does not find what it made.
  private func broken(_ failure: LessonFailure) -> String {
    wrapped(
      "\(failure)\n\nThe lesson's machines are not as this step needs them: again() puts them back."
    )
  }

  /// A lesson that was done stays done.
  private func remember(_ lesson: Lesson) {
    if progress[lesson] != .done { progress[lesson] = .at(step) }
  }

  private func begin(_ lesson: Lesson, step wanted: Int?) -> String {
    end()
    do throws(LessonFailure) {
      let table = try LessonTable(lesson, session)
      if let wanted, wanted > table.count {
        end()
        return "\(lesson.id) has \(table.count) steps; there is no step \(wanted)"
      }
      var first = wanted ?? 1
      // A lesson that has become shorter begins anew.
      if wanted == nil, case .at(let left) = progress[lesson], left <= table.count { first = left }
      // The same state as if the learner had done all before.
      do throws(LessonFailure) {
        try table.lead(to: first)
      } catch {
        table.unload()
        return wrapped(
          "The steps before were not done to their end (\(error)); "
            + "lesson(\"\(lesson.id)\", \(first)) begins anew.")
      }
      // Going back to machines of before would show nothing.
      session.context.history?.forget()
      self.lesson = lesson
      self.table = table
      isFinished = false
      step = first
      hintsGiven = 0
      silent = 0
      hasBegun = true
      if wanted != nil { remember(lesson) }
      var text = ""
      if first == 1 {
        text =
          "\(bold("\(lesson.id) · \(lesson.title)"))\n\n" + wrapped(lesson.opening.question)
          + "\n"
          + wrapped(
            "Type what you would at any prompt; every statement is looked at. hint() helps, again() puts "
              + "the step's machines back, skip() shows the answer, leave() leaves.") + "\n"
      }
      return text + (try shown(table))
    } catch {
      end()
      return "\(lesson.path): \(error)"
    }
  }

  private func end() {
    table?.unload()
    table = nil
    lesson = nil
  }

  private func check(_ source: String, hasValue: Bool) -> String {
    guard let lesson, let table else { return "" }
    var text = ""
    do throws(LessonFailure) {
      var verdict = try table.check(step, source: source, hasValue: hasValue)
      guard verdict.isPassed else { return unanswered(verdict.message) }
      while verdict.isPassed {
        text += wrapped("\(mark) \(verdict.message.isEmpty ? "Done." : verdict.message)") + "\n"
        step += 1
        hintsGiven = 0
        silent = 0
        guard step <= table.count else {
          progress[lesson] = .done
          isFinished = true
          end()
          return text + "\n" + bold("That was \(lesson.id) · \(lesson.title).") + "\n"
            + wrapped("The machines stay for you to play with. " + next(after: lesson))
        }
        remember(lesson)
        text += try shown(table) + "\n"
        // The learner may have done more than was asked.
        verdict = try table.check(step, source: nil, hasValue: false)
      }
      return String(text.dropLast())
    } catch {
      return text + broken(error)
    }
  }

  /// What to say to a statement that did not do what the step asks for; mostly nothing, because looking
  /// around is what a prompt is for.
  private func unanswered(_ message: String) -> String {
    silent = message.isEmpty ? silent + 1 : 0
    if !message.isEmpty { return wrapped(message) }
    return silent == 4
      ? wrapped(
        "Not that yet. lesson() shows the step again, hint() helps, again() puts the machines back."
      )
      : ""
  }

  private func next(after lesson: Lesson) -> String {
    guard let index = lessons.firstIndex(where: { $0.id == lesson.id }), index + 1 < lessons.count
    else { return "lessons() lists all." }
    return "lesson(\"\(lessons[index + 1].id)\") is the next: \(lessons[index + 1].title)."
  }

  private func hint(_ table: LessonTable) throws(LessonFailure) -> String {
    let hints = try table.hints(step)
    guard hintsGiven < hints.count else { return "No more hints; skip() shows the answer." }
    hintsGiven += 1
    return wrapped("\(hintsGiven) of \(hints.count): \(hints[hintsGiven - 1])")
  }

  private func skip(_ table: LessonTable) throws(LessonFailure) -> String {
    let answer = try table.answer(step)
    var text = answer.split(separator: "\n", omittingEmptySubsequences: false)
      .map { "> \($0)\n" }.joined()
    session.context.history?.begin(answer)
    let evaluation = session.evaluate(answer)
    for note in session.context.history?.end() ?? [] { text += note + "\n" }
    if let error = evaluation.outcome.failure { return text + broken(LessonFailure(error.message)) }
    if !evaluation.displays.isEmpty { text += evaluation.displays.joined(separator: "  ") + "\n" }
    let looked = check(answer, hasValue: !evaluation.displays.isEmpty)
    return text
      + (looked.isEmpty ? "That is not enough here; again() puts the machines back." : looked)
  }

  // MARK: Texts

  /// The lessons, and how far the learner is in each.
  func list() -> String {
    lessons.map { lesson in
      let state =
        switch progress[lesson] {
        case .at(1): ""
        case .at(let step): " (step \(step))"
        case .done: " (done)"
        }
      return "\(lesson.id.padded(4))\(lesson.title)\(state)\n"
        + wrapped(lesson.opening.question, indent: 4)
    }.joined(separator: "\n")
      + "\n\nlesson(\"\(lessons.first?.id ?? "")\") begins one; from the shell: pinlab learn 1."
  }

  private func shown(_ table: LessonTable) throws(LessonFailure) -> String {
    let texts = try table.texts(step)
    let body = texts.text.isEmpty ? "" : wrapped(texts.text) + "\n\n"
    return "\n" + bold("Step \(step) of \(table.count)") + "\n" + body
      + arrow + wrapped(texts.ask, indent: 2).dropFirst()
  }

  private var mark: String { session.context.unicode ? "✓" : "ok:" }
  private var arrow: String { session.context.unicode ? "»" : ">" }

  private func bold(_ text: String) -> String {
    session.context.color ? "\u{1B}[1m\(text)\u{1B}[0m" : text
  }

  private func wrapped(_ text: String, indent: Int = 0) -> String {
    Paragraphs.wrapped(
      text, columns: min(session.context.columns(), 100), indent: indent)
  }
}
