defmodule Penstock.ExamplesTest do
  # The scripts are run as they are, in this VM. Their modules have names of their own.
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  @examples Path.expand("../examples", __DIR__)

  # A script in a process of its own, which has its mailbox and its links.
  defp run(run) do
    capture_io(fn ->
      {:ok, task} = Task.start(run)
      monitor = Process.monitor(task)
      assert_receive {:DOWN, ^monitor, _, _, reason}, 20_000
      assert reason == :normal
    end)
    |> String.split("\n", trim: true)
  end

  defp script(name), do: run(fn -> Code.eval_file(Path.join(@examples, name)) end)

  defp numbers(lines, said),
    do: for(line <- lines, String.starts_with?(line, said), n <- Regex.scan(~r/\d+/, line), do: hd(n))

  test "three stages in a row: all events arrive, doubled and in order, and no more are made than asked for" do
    said = script("producer_consumer.exs")
    # A may hear of the last ask when C has ended
    assert said |> Enum.filter(&String.starts_with?(&1, "C")) |> List.last() == "C has seen enough"
    assert Enum.take(numbers(said, "C gets"), 12) == Enum.map(1..12, &"#{&1 * 2}")
    made = said |> numbers("A is asked for") |> Enum.map(&String.to_integer/1)
    assert hd(made) == 4
    assert Enum.sum(made) in 12..24
  end

  test "a supervisor runs a child for each event, three at a time" do
    said = script("consumer_supervisor.exs")
    assert said |> numbers("errand") |> Enum.map(&String.to_integer/1) |> Enum.sort() == Enum.to_list(1..9)
    refute Enum.any?(said, &(&1 =~ "too many"))
    assert "no errands are left" in said
    assert List.last(said) =~ "active: 0"
  end

  test "an event manager tells every handler what it wants to know, in order" do
    said = script("gen_event.exs")

    assert Enum.filter(said, &(&1 =~ "Ada")) == [
             "Ada reads (weather): rain from the west",
             "Ada reads (sport): the home team has won",
             "Ada reads (weather): sun again"
           ]

    assert Enum.filter(said, &(&1 =~ "Bo reads")) == [
             "Bo reads (weather): rain from the west",
             "Bo reads (weather): sun again"
           ]

    assert List.last(said) == "both have read their news"
  end

  test "a rate limiter takes four events in each interval" do
    said = script("rate_limiter.exs")
    batches = for line <- said, [_, at, events] <- [Regex.run(~r/^(\d+) ms: (.*)$/, line)], do: {at, events}
    assert [{_, "1, 2, 3, 4"}, {second, "5, 6, 7, 8"}, {third, "9, 10, 11, 12"}] = batches
    assert String.to_integer(second) >= 50
    assert String.to_integer(third) >= 100
    assert "the producer has nothing more" in said
  end

  test "stages written in Erlang" do
    source = @examples |> Path.join("erlang/src/primes.erl") |> String.to_charlist()
    {:ok, :primes, code, []} = :compile.file(source, [:binary, :return_warnings])
    {:module, :primes} = :code.load_binary(:primes, source, code)
    said = run(fn -> apply(:primes, :main, []) end)
    assert said == ~w(2 3 5 7 11 13 17 19 23 29) ++ ["these were the first ten"]
  end
end
