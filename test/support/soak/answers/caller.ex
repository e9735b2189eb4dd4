defmodule Penstock.Soak.Answers.Caller do
  @moduledoc false
  # Appends to a wrong server and reads from it: every call is answered in time, and none says more than it knows.

  import Penstock.Soak.Fault

  alias Penstock.{Error, Event, EventStore}
  alias Penstock.Soak.Answers.{Ending, Stream, WrongServer}
  alias Penstock.Soak.Dice

  # For a machine that does other things as well.
  @slack 5_000

  def start_link(name, server, store, mood, deadline, seed) do
    spawn_link(fn ->
      Dice.take(seed, {:caller, name})
      call(%{server: server, store: store, mood: mood, deadline: deadline})
    end)
  end

  defp call(state) do
    receive do
      :finish -> :ok
    after
      Dice.between(0, 20) ->
        if Dice.chance(50), do: append(state), else: read(state)
        call(state)
    end
  end

  defp append(state) do
    event = Event.new("Asked", %{}, id: Dice.uuid())

    case timely(state, fn -> EventStore.append(state.store, Stream.name(), event) end) do
      {:ok, appended} ->
        answers = WrongServer.answered(state.server, event.id)

        law(
          Enum.any?(answers, &elem(&1, 1)),
          "an append is #{brief(appended)}, which was answered #{brief(answers)}"
        )

      {:error, error} ->
        known(error)
        answers = for {ending, _} <- WrongServer.answered(state.server, event.id), do: ending
        passes? = answers != [] and Enum.all?(answers, &(&1 in Ending.passing()))

        law(
          error.retry? or not (state.mood == :road and passes?),
          "an append may have been written, which was answered #{brief(answers)}, and retry? is false: #{brief(error)}"
        )
    end
  end

  defp read(state) do
    {from, count} = {Dice.between(0, Stream.last()), Dice.scale(1, 200)}
    options = [from: from, max_count: count, json: :raw]

    case timely(state, fn -> EventStore.read(state.store, Stream.name(), options) end) do
      {:ok, events} -> complete(Enum.map(events, &Event.revision/1), from, count, state.mood)
      {:error, error} -> known(error)
    end
  end

  # A liar says of less that it is all.
  defp complete(_revisions, _from, _count, :liar), do: :ok

  defp complete(revisions, from, count, mood) do
    wanted = Enum.to_list(from..min(from + count - 1, Stream.last()))

    law(
      revisions == wanted,
      "a read (#{mood}) from #{from} of #{count} gave #{brief(revisions)} as all there is"
    )
  end

  defp known(error) do
    law(match?(%Error{}, error), "a call failed with #{brief(error)}")
    law(error.reason != :internal, "a call failed by a fault of Penstock's: #{brief(error)}")
  end

  # A read's deadline is for each of its messages.
  defp timely(state, call) do
    began = System.monotonic_time(:millisecond)
    answer = call.()
    took = System.monotonic_time(:millisecond) - began
    law(took <= 3 * state.deadline + @slack, "a call with a deadline of #{state.deadline} ms took #{took} ms")
    answer
  end
end
