import Foundation
import TerminalTesting
import Testing

/// `pinlab learn`, and lessons at the prompt; `Scripts/test` checks all of them with a release build.
@Suite struct LessonTests {
  static let lesson = """
    -- X1 · sums
    -- What is a sum?
    -- Rules: none.
    return {
      setup = function() start = 40 end,
      {
        text = "There is a number start.",
        ask = "Make a name sum that is two more.",
        check = function()
          return sum == start + 2, "Right, " .. sum, sum and "That is " .. sum .. "."
        end,
        hints = { "Use +.", "sum = start + 2" },
        answer = "sum = start + 2",
        wrong = { "sum = start" },
      },
      {
        ask = "How much is sum + 1?",
        expect = function() return sum + 1 end,
        hints = { "Ask." },
        wrong = { "42" },
      },
    }
    """

  private func folder(_ change: (String) -> String = { $0 }) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    folder.write(change(Self.lesson), to: "01-sums.lua")
    return folder
  }

  @Test func listsWithQuestions() throws {
    let ended = try pinlab("learn")
    #expect(ended.status == 0)
    #expect(ended.output.contains("L3  PFNs busy\n    A guest runs in memory"))
  }

  @Test func aPipeIsALearner() throws {
    let folder = try folder()
    let right = try pinlab(
      "learn", "sums", "--path", folder.path, input: "sum = start\nsum = 42\n42\nsum + 1\n")
    #expect(right.status == 0)
    let looked = right.output.split(separator: "\n").filter { line in
      ["That is", "✓", "no,"].contains { line.hasPrefix($0) }
    }
    #expect(looked == ["That is 40.", "✓ Right, 42", "no, not 42", "✓ Done."])
    let half = try pinlab("learn", "X1", "--path", folder.path, input: "sum = 42\n")
    #expect(half.status == 1 && half.output.contains("Step 2 of 2"))
  }

  @Test func helpsAtThePrompt() throws {
    let folder = try folder()
    let home = try Home()
    let terminal = try home.start(["learn", "1", "--path", folder.path])
    #expect(terminal.screen.lines.contains("Step 1 of 2"))
    for (input, answer) in [
      ("hint()", "1 of 2: Use +."), ("hint()", "2 of 2: sum = start + 2"),
      ("hint()", "No more hints"),
      ("start = 1", ""), ("again()", "There is a number start."), ("start", "40"),
      ("skip()", "> sum = start + 2\n✓ Right, 42"), ("leave()", "left at step 2 of 2"),
      ("hint()", "no lesson is under way"),
      // The answers before the step lead to it.
      ("sum = nil lesson(1)", "Step 2 of 2\n» How much is sum + 1?"), ("sum", "42"),
      ("lesson(1, 3)", "X1 has 2 steps; there is no step 3"),
      ("lesson('nothing')", "there is no lesson 'nothing'"), ("lesson(1)", "Step 2 of 2"),
      ("43", "That was X1 · sums."), ("lessons()", "X1  sums (done)"),
    ] {
      terminal.enter(input)
      if !answer.isEmpty { try terminal.wait(for: "\n" + answer) }
      try terminal.wait(for: "\n> ")
    }
  }

  /// What learners do that a lesson does not ask for.
  @Test func bearsMistakes() throws {
    let terminal = try Home().start(["learn", "2", "--step", "4"])
    for (input, answer) in [
      ("p = vm:pin{ length = \"4K\" }", "> "), ("undo()", "undone: p = vm:pin{"),
      ("1025", "no, not 1025"), ("1024", "Right. Now pin the page"),
      ("p = vm:pin{ length = \"4K\" }", "✓ Done."), ("m = nil", "> "),
      ("2049", "again() puts them back."), ("again", "Step 6 of 8"),
      ("P4.5", "Almost: the answer is a text, and stands between quotes: \"P4.5\""),
      ("5", "The answer is a text, between quotes."), ("'P4.5'", "✓ try_to_migrate_one"),
      ("save('x.lua')", "save from a session without one"),
      ("1", ""), ("2", ""), ("3", ""), ("4", "Not that yet. lesson() shows the step again"),
    ] {
      terminal.enter(input)
      if !answer.isEmpty { try terminal.wait(for: answer.hasPrefix("> ") ? "\n> " : answer) }
      if !answer.hasPrefix("> ") { try terminal.wait(for: "\n> ") }
    }
  }

  @Test(arguments: [
    ("wrong = { \"sum = start\" }", "wrong = { \"sum = 42\" }", "step 1 passes with `sum = 42`"),
    (
      "answer = \"sum = start + 2\"", "answer = \"sum = 3\"", "step 1 does not pass with its answer"
    ),
    ("start = 40", "start = 40 sum = 42", "step 1 is done before anything is typed"),
    ("hints = { \"Ask.\" },", "", "step 2 has no hint"),
    ("wrong = { \"42\" },", "", "step 2 names nothing that is wrong"),
    ("return {", "return nil, {", "01-sums.lua"),
    ("-- X1 · sums", "-- sums", "its first line is not `-- ID · title`, as of a lesson"),
  ])
  func checkFindsWhatDoesNotHold(part: String, instead: String, message: String) throws {
    let sound = try folder()
    let right = try pinlab("learn", "--check", "--path", sound.path)
    #expect(right.status == 0 && right.output.hasSuffix("1 of 1 lessons hold\n"))
    let broken = try folder { $0.replacing(part, with: instead) }
    let ended = try pinlab("learn", "--check", "--path", broken.path)
    #expect(ended.status == 1)
    #expect((ended.output + ended.errors).contains(message))
  }

  @Test func refusesUnknownNames() throws {
    let ended = try pinlab("learn", "nothing")
    #expect(ended.status == 1 && ended.errors.contains("there is no lesson 'nothing'"))
    let several = try pinlab("learn", "page")
    #expect(several.status == 1 && several.errors.contains("may be L"))
    #expect(try pinlab("learn", "1", "--step", "0").status == 2)
  }
}
