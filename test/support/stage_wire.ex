defmodule Penstock.StageWire do
  @moduledoc false
  # Lets a test play a consumer or a producer with bare messages.

  import ExUnit.Assertions

  def subscribe(producer, tag \\ make_ref(), current \\ nil, options \\ []) do
    send(producer, {:"$gen_producer", {self(), tag}, {:subscribe, current, options}})
    tag
  end

  def ask(producer, tag, n) do
    send(producer, {:"$gen_producer", {self(), tag}, {:ask, n}})
    tag
  end

  def cancel(producer, tag, reason) do
    send(producer, {:"$gen_producer", {self(), tag}, {:cancel, reason}})
    tag
  end

  # Waits until a process has handled everything that was sent to it before.
  def settle(stage) do
    _state = :sys.get_state(stage)
    :ok
  end

  # All events that have been sent under a tag and not received, message by message.
  def batches(producer, tag) do
    settle(producer)
    take(producer, tag)
  end

  defp take(producer, tag) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) -> [events | take(producer, tag)]
    after
      0 -> []
    end
  end

  # What a consumer's subscription sends to the producer that the test plays, up to its first ask.
  def accept(consumer, expected_max) do
    assert_receive {:"$gen_producer", {^consumer, tag}, {:subscribe, nil, options}}
    assert_receive {:"$gen_producer", {^consumer, ^tag}, {:ask, ^expected_max}}
    {tag, options}
  end

  def send_events(consumer, tag, events) do
    send(consumer, {:"$gen_consumer", {self(), tag}, events})
    :ok
  end

  def send_cancel(consumer, tag, reason) do
    send(consumer, {:"$gen_consumer", {self(), tag}, {:cancel, reason}})
    :ok
  end
end
