defmodule Penstock.LinearSubscription.WrongAnswersTest do
  use ExUnit.Case, async: true

  import Penstock.Answerer
  import Penstock.Store, only: [await_info: 2, consume: 2, subscribe: 3, take: 3, logged: 1, revisions: 1]

  alias Penstock.{Error, LinearSubscription, StageWire}

  @moduletag :capture_log

  # Answers every subscription with these messages and is silent then.
  defp serving(messages), do: start(fn _, stream -> head(stream) <> data(stream, messages) end)

  defp events(revisions), do: for(revision <- revisions, do: event(revision))

  @malformed [
    {"a time that is none", [created: "yesterday"], "created"},
    {"a time after the year 9999", [created: "2534023008000000000"], "created"},
    {"a time before 1970", [created: "-1"], "created"},
    {"an id that is no UUID", [id: "nonsense"], "id"},
    {"an id that is too short", [id: "00000000-0000-4000-8000-00000000000"], "id"},
    {"a body that is a number", [data: 7], "field 8"},
    {"a link with a time that is none", [link: [created: "yesterday"]], "created"},
    {"a link with an id that is no UUID", [link: [id: "nonsense"]], "id"},
    {"a link with a body that is a number", [link: [data: 7]], "field 8"}
  ]

  for {what, parts, text} <- @malformed do
    test "of an event with #{what} nothing is sent, nor of what follows it, and the producer names it" do
      messages = [
        confirmation(),
        events(0..4),
        event(5, unquote(Macro.escape(parts))),
        events(6..9),
        caught_up()
      ]

      producer = subscribe(serving(messages), "s", [])
      monitor = Process.monitor(producer)
      tag = consume(producer, 100)
      assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{reason: :protocol} = error}
      assert %{details: %{revision: 5}, retry?: false, message: message} = error
      assert message =~ "the event of revision 5 cannot be decoded"
      assert message =~ unquote(text)
      assert lists(producer, tag) |> Enum.concat() |> revisions() == [0, 1, 2, 3, 4]
    end
  end

  for {dispatcher, subscriptions} <- [
        {Penstock.BroadcastDispatcher, [[]]},
        {{Penstock.PartitionDispatcher, partitions: 2}, [[partition: 0], [partition: 1]]},
        {{Penstock.PartitionDispatcher, partitions: 2, hash: &__MODULE__.parity/1},
         [[partition: 0], [partition: 1]]},
        {{Penstock.DemandDispatcher, rate: {2, 5}}, [[]]},
        {Penstock.FirstComeDispatcher, [[]]}
      ] do
    test "nothing is sent of an event that cannot be decoded, nor of what follows it, by #{inspect(dispatcher)}" do
      messages = [confirmation(), events(0..4), event(5, id: "nonsense"), events(6..9), caught_up()]
      producer = subscribe(serving(messages), "s", dispatcher: unquote(Macro.escape(dispatcher)))
      monitor = Process.monitor(producer)

      tags =
        for options <- unquote(subscriptions),
            do:
              StageWire.subscribe(producer, make_ref(), nil, options)
              |> tap(&StageWire.ask(producer, &1, 100))

      assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{reason: :protocol} = error}
      assert %{details: %{revision: 5}} = error
      sent = for tag <- tags, do: producer |> lists(tag) |> Enum.concat() |> revisions()
      assert Enum.all?(sent, &(&1 == Enum.sort(&1)))
      assert sent |> Enum.concat() |> Enum.sort() == [0, 1, 2, 3, 4]
    end
  end

  def parity(event), do: {event, rem(event.metadata.stream_revision, 2)}

  # What was sent under a tag; an empty list would be one too many.
  defp lists(producer, tag) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        assert events != []
        [events | lists(producer, tag)]
    after
      0 -> []
    end
  end

  test "when the first event of a message cannot be decoded, no message is sent" do
    producer = subscribe(serving([confirmation(), event(0, id: "nonsense"), events(1..3)]), "s", [])
    monitor = Process.monitor(producer)
    tag = consume(producer, 10)
    assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{details: %{revision: 0}}}
    assert lists(producer, tag) == []
  end

  test "among several consumers nothing after an event that cannot be decoded is sent to any" do
    messages = [confirmation(), events(0..24), event(25, created: ""), events(26..99)]
    producer = subscribe(serving(messages), "s", demand: :accumulate)
    monitor = Process.monitor(producer)
    tags = for demand <- [10, 40, 7], do: consume(producer, demand)
    await_info(producer, &(&1.ready_events == 100))
    Penstock.Stage.demand(producer, :forward)
    assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{details: %{revision: 25}}}
    sent = for tag <- tags, list <- lists(producer, tag), do: revisions(list)
    assert Enum.all?(sent, &(&1 == Enum.sort(&1)))
    assert sent |> Enum.concat() |> Enum.sort() == Enum.to_list(0..24)
  end

  test "one event at a time, those before the one that cannot be decoded are sent, and it is met only then" do
    messages = [confirmation(), events(0..2), event(3, id: "x"), events(4..5)]
    producer = subscribe(serving(messages), "s", [])
    monitor = Process.monitor(producer)
    tag = StageWire.subscribe(producer)

    for revision <- 0..2 do
      StageWire.ask(producer, tag, 1)
      assert [%{metadata: %{stream_revision: ^revision}}] = take(producer, tag, 1)
    end

    assert LinearSubscription.info(producer).revision == 2
    StageWire.ask(producer, tag, 1)
    assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{details: %{revision: 3}}}
    assert lists(producer, tag) == []
  end

  test "an event over the limit stops the producer with the revision before it and the limit" do
    large = event(2, data: String.duplicate("x", 3000))

    producer =
      subscribe(serving([confirmation(), events(0..1), large, events(3..4)]), "s", max_message_size: 2000)

    monitor = Process.monitor(producer)
    tag = consume(producer, 100)
    assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{reason: :message_too_large} = error}
    assert %{after_revision: 1, maximum: 2000, size: size} = error.details
    assert size > 3000
    assert error.message =~ "after revision 1"
    assert error.message =~ "max_message_size, is 2000 bytes"
    assert lists(producer, tag) |> Enum.concat() |> revisions() == [0, 1]
  end

  test "a call that a proxy ends is made again from where it was" do
    answers = %{
      0 => fn stream ->
        head(stream) <> data(stream, [confirmation(), events(0..1)]) <> reset(stream, 0)
      end,
      1 => fn stream -> head(stream, "502", "text/html") <> data(stream, "<html>") <> ended(stream) end,
      2 => fn stream -> head(stream) <> data(stream, [confirmation(), event(2)]) <> ended(stream) end
    }

    last = fn stream -> head(stream) <> data(stream, [confirmation(), event(3), caught_up()]) end
    uri = start(fn number, stream -> Map.get(answers, number, last).(stream) end)

    lines =
      logged(fn ->
        producer = subscribe(uri, "s", [])
        tag = consume(producer, 100)
        assert producer |> take(tag, 4) |> revisions() == [0, 1, 2, 3]
        assert %{reconnects: 2} = await_info(producer, &(&1.state == :subscribed))
        producer
      end)

    [_, address] = Regex.run(~r{esdb://([^?]*)}, uri)
    assert [dropped, could_not, resumed, dropped_again, resumed_again, caught_up] = lines
    assert dropped =~ "was dropped: the server is not available: #{address}"
    assert could_not =~ "could not connect: the server is not available: #{address}"
    assert could_not =~ "502"
    assert resumed =~ "resumed after revision 1"
    assert dropped_again =~ "was dropped"
    assert resumed_again =~ "resumed after revision 2"
    assert caught_up =~ "has caught up after revision 3"
  end
end
