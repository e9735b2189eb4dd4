defmodule Penstock.Soak.Answers.Listener do
  @moduledoc false
  # A subscription to a wrong server, and a consumer that takes nothing twice, nothing out of order, and, unless the
  # server says so itself, passes nothing over.

  import Penstock.Soak.Fault

  alias Penstock.{Error, Event, LinearSubscription}
  alias Penstock.Soak.Answers.Stream
  alias Penstock.Soak.{Dice, Notebook}

  @doc "Starts one; it sends `{pid, :caught_up}` or `{pid, {:stopped, error}}` to the caller."
  def start_link(name, uri, mood, seed) do
    owner = self()

    spawn_link(fn ->
      Process.flag(:trap_exit, true)
      Dice.take(seed, {:listener, name})
      from = Dice.pick([:start, :start, :end, Dice.between(0, Stream.last())])

      {:ok, producer} =
        LinearSubscription.start_link(
          connection: uri,
          stream_name: Stream.name(),
          restore_stream_position!: fn -> from end,
          buffer_size: Dice.pick([1, 10, 10_000]),
          read_opts: [max_count: Dice.pick([1, 7, 200])]
        )

      tag = make_ref()
      send(producer, {:"$gen_producer", {self(), tag}, {:subscribe, nil, []}})
      who = "a subscription from #{from} (#{mood})"
      listen(%{owner: owner, producer: producer, tag: tag, next: first(from), mood: mood, who: who}, 0)
    end)
  end

  defp first(:start), do: 0
  defp first(:end), do: Stream.last() + 1
  defp first(revision), do: revision + 1

  defp listen(%{producer: producer, tag: tag} = state, 0) do
    demand = Dice.between(1, 50)
    send(producer, {:"$gen_producer", {self(), tag}, {:ask, demand}})
    listen(state, demand)
  end

  defp listen(%{owner: owner, producer: producer, tag: tag} = state, demand) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        Notebook.came(events)

        law(
          length(events) <= demand,
          "#{state.who}: #{length(events)} events came where #{demand} were asked for"
        )

        state = Enum.reduce(events, state, &take/2)
        if state.next > Stream.last_live(), do: caught_up(state), else: listen(state, demand - length(events))

      {:"$gen_consumer", {^producer, ^tag}, {:cancel, _reason}} ->
        listen(state, demand)

      {:EXIT, ^producer, reason} ->
        stopped(reason, state)

      {:EXIT, ^owner, reason} ->
        exit(reason)

      {:look, from} ->
        send(from, {self(), LinearSubscription.info(producer)})
        listen(state, demand)

      other ->
        law(false, "#{state.who} got #{brief(other)}")
    end
  end

  defp caught_up(%{owner: owner, producer: producer} = state) do
    info = LinearSubscription.info(producer)
    law(info.revision == Stream.last_live(), "#{state.who} is at its end and says #{brief(info)}")
    send(owner, {self(), :caught_up})
    receive(do: ({:EXIT, ^owner, _} -> :ok))
  catch
    # What came after the last event has ended it.
    :exit, _ -> receive(do: ({:EXIT, ^producer, reason} -> stopped(reason, state)))
  end

  defp take(event, state) do
    revision = Event.revision(event)

    law(
      is_integer(revision) and revision >= state.next,
      "#{state.who}: #{inspect(revision)} came, not #{state.next}"
    )

    # A liar leaves events out, which nobody can notice; nobody else may.
    law(
      state.mood == :liar or revision == state.next,
      "#{state.who}: #{revision} came, #{state.next} was passed over"
    )

    law(
      state.mood == :nonsense or event.id == Stream.id(revision),
      "#{state.who}: another event as #{revision}"
    )

    %{state | next: revision + 1}
  end

  # The moods other than the road's may end it, with a reason that says why.
  defp stopped(reason, state) do
    law(match?(%Error{}, reason), "#{state.who} ended with #{brief(reason)}")
    law(reason.reason != :internal, "#{state.who} ended by a fault of Penstock's: #{brief(reason)}")
    law(state.mood != :road, "#{state.who} was ended by what passes: #{brief(reason)}")
    send(state.owner, {self(), {:stopped, reason}})
  end
end
