import ArgumentParser
import Console
import MemoryLua
import PinLab

/// The subcommand `pinlab learn`.
struct LearnCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "learn",
    abstract: "Lessons at the prompt that look whether a task is done.",
    discussion: """
      Without a name it lists the lessons. A lesson shows a step, waits until the machine is in the state \
      that was asked for, or the number that was asked for is typed, and goes on. Where standard input is \
      no terminal its lines are taken as the learner's, and the exit status is 1 when the lesson is not \
      at its end after them. Another seed gives other numbers.
      """)

  @Option(help: "The folder of lessons, when it is not the one beside the program.")
  var path: String?
  @Option(help: "Where math.random starts, and with it the numbers of a lesson.")
  var seed: UInt64 = 0
  @Option(help: "Colour: auto, always or never. NO_COLOR is respected.")
  var color: ColorChoice = .auto
  @Option(help: "The step to begin at; where you left by default.")
  var step: Int?
  @Flag(
    help:
      "Go through lessons with their own answers, right and wrong, and see that each step tells them apart."
  )
  var check = false
  @Argument(help: "Its number, or words of its title.")
  var name: String?

  func validate() throws {
    if let step, step < 1 { throw ValidationError("--step \(step): expected 1 or more") }
  }

  func run() throws {
    let lessons: [Lesson]
    do throws(FileFailure) {
      lessons = try Lesson.load(try ScriptFolder.find("lessons", path))
    } catch {
      complain("pinlab learn: \(error)")
      throw ExitCode(1)
    }
    if check { return try checkAll(lessons) }
    let useColor = color.allowsColor(isTerminal: Terminal.isOutputInteractive)
    let context = MemoryContext(
      columns: { Terminal.isOutputInteractive ? Terminal.columns : 80 }, color: useColor,
      unicode: !Terminal.isOutputInteractive || Terminal.showsUnicode)
    let session = PinLabSession(seed: seed, context: context, output: Output.write)
    let isTyped = Terminal.isInputInteractive
    let tutor = Tutor(
      session, lessons, LessonProgress(path: isTyped ? LessonProgress.defaultPath() : nil))
    guard let name else {
      Output.write(tutor.list() + "\n")
      return Output.flush()
    }
    if case .failure(let failure) = Lesson.named(name, in: lessons) {
      complain("pinlab learn: \(failure)")
      throw ExitCode(1)
    }
    let prompt = Prompt(session: session, color: useColor, seed: seed, tutor: tutor)
    let opening = tutor.begin(name, step: step)
    if !isTyped { Output.write(opening + "\n") }
    prompt.run(opening: opening)
    if !isTyped, !tutor.isFinished { throw ExitCode(1) }
  }

  private func checkAll(_ lessons: [Lesson]) throws {
    var chosen = lessons
    if let name {
      switch Lesson.named(name, in: lessons) {
      case .success(let lesson): chosen = [lesson]
      case .failure(let failure):
        complain("pinlab learn: \(failure)")
        throw ExitCode(1)
      }
    }
    var failed = 0
    for lesson in chosen {
      do throws(LessonFailure) {
        // Several seeds: the numbers that a step draws must not decide.
        for seed in seed..<seed + 3 {
          let steps = try LessonCheck(lesson, seed: seed).run()
          if seed == self.seed {
            Output.write("ok      \(lesson.id.padded(4))\(lesson.title): \(steps) steps\n")
          }
        }
      } catch {
        failed += 1
        Output.write("FAILED  \(lesson.id.padded(4))\(lesson.title)\n        \(error)\n")
      }
    }
    Output.write("\(chosen.count - failed) of \(chosen.count) lessons hold\n")
    Output.flush()
    if failed > 0 { throw ExitCode(1) }
  }
}
