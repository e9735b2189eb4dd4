defmodule Penstock.Stage.Control do
  @moduledoc false
  # What stages can do beyond GenStage: hold still, go on, and say how they are.
  #
  # A stage that is paused accumulates, whatever its mode, and holds back the asks of its consumers as well, so that
  # its buffer holds still too. A producer_consumer leaves what it receives in its backlog.

  alias Penstock.Stage.{Consumer, Output, Producer, State, Subscribers}
  alias Penstock.Telemetry

  @typep replied ::
           {:reply, term, State.t()} | {:reply, term, State.t(), :hibernate} | {:stop, term, term, State.t()}

  @spec pause(State.t()) :: replied
  def pause(%State{type: :consumer} = stage), do: {:reply, {:error, :not_a_producer}, stage}

  def pause(%State{paused: nil, mode: mode} = stage) do
    Telemetry.stage(:paused, %{system_time: System.system_time()}, stage)
    {:reply, :ok, %{stage | paused: {mode(mode), []}, mode: if(mode == :forward, do: [], else: mode)}}
  end

  def pause(stage), do: {:reply, :ok, stage}

  # What the mode is, or will be once the stage goes on.
  @spec mode(State.t() | :forward | list) :: :forward | :accumulate
  def mode(%State{paused: {mode, _asks}}), do: mode
  def mode(%State{mode: mode}), do: mode(mode)
  def mode(:forward), do: :forward
  def mode(held) when is_list(held), do: :accumulate

  @spec set_mode(:forward | :accumulate, State.t()) :: State.step()
  def set_mode(mode, %State{paused: {_mode, asks}, type: :producer} = stage),
    do: {:noreply, %{stage | paused: {mode, asks}}}

  def set_mode(mode, stage), do: Producer.set_mode(mode, stage)

  # An ask that comes while the stage is paused. One of nobody's is answered at once.
  @spec hold(Subscribers.from(), integer, State.t()) :: State.step()
  def hold(from, n, %State{paused: {mode, asks}, output: output} = stage) do
    case Subscribers.fetch(output.subscribers, from) do
      {:ok, id} -> {:noreply, %{stage | paused: {mode, held_ask(id, n, asks)}}}
      :unknown -> {:noreply, stage}
    end
  end

  defp held_ask(id, n, [{id, before} | asks]) when n > 0 and before > 0, do: [{id, before + n} | asks]
  defp held_ask(id, n, asks), do: [{id, n} | asks]

  @spec resume(State.t()) :: replied
  def resume(%State{type: :consumer} = stage), do: {:reply, {:error, :not_a_producer}, stage}
  def resume(%State{paused: nil} = stage), do: {:reply, :ok, stage}

  def resume(%State{paused: {mode, asks}} = stage) do
    Telemetry.stage(:resumed, %{held: held(stage)}, stage)

    # The buffer first: it is older than what is held.
    release(mode, asks, %{stage | paused: nil}) |> reply()
  end

  # One that accumulates goes on holding what it is asked for.
  defp release(:accumulate, asks, %State{mode: held} = stage),
    do: {:noreply, %{stage | mode: for({id, n} <- asks, n > 0, do: {:ask, id, n}) ++ held}}

  defp release(:forward, asks, stage) do
    asks
    |> :lists.reverse()
    |> Enum.reduce({:noreply, stage}, fn {id, n}, step ->
      Producer.and_then(step, &Producer.serve(id, n, &1))
    end)
    # what could be served without an ask, had there been no pause
    |> Producer.and_then(&Producer.drain/1)
    |> Producer.and_then(&release/1)
  end

  defp release(%State{type: :producer_consumer, mode: held} = stage) do
    held
    |> :lists.reverse()
    |> Enum.reduce(%{stage | mode: :forward}, fn
      {:events, events}, stage -> Producer.emit(events, stage)
      {:info, message}, stage -> Producer.info(message, stage)
    end)
    |> Consumer.pump()
  end

  defp release(stage), do: Producer.set_mode(:forward, stage)

  defp reply({:noreply, stage}), do: {:reply, :ok, stage}
  defp reply({:noreply, stage, :hibernate}), do: {:reply, :ok, stage, :hibernate}
  defp reply({:stop, reason, stage}), do: {:stop, reason, :ok, stage}

  @spec info(State.t()) :: Penstock.Stage.info()
  def info(%State{output: output} = stage) do
    %{
      pid: self(),
      module: stage.mod,
      type: stage.type,
      mode: if(stage.type == :producer, do: mode(stage)),
      paused: stage.paused != nil,
      demand: if(output, do: Output.demand(output), else: 0),
      buffered: if(output, do: Output.buffered(output), else: 0),
      off_heap: if(output, do: Output.off_heap(output), else: 0),
      held: held(stage),
      waiting: waiting(stage),
      consumers: if(output, do: consumers(stage), else: []),
      producers: for({tag, source} <- stage.sources, do: producer(tag, source))
    }
  end

  defp held(%State{mode: :forward}), do: 0
  defp held(%State{mode: held}), do: Enum.sum(for {:events, events} <- held, do: length(events))

  defp waiting(%State{backlog: nil}), do: 0

  defp waiting(%State{backlog: backlog}),
    do: Enum.sum(for {:events, _events, size, _from} <- :queue.to_list(backlog), do: size)

  defp consumers(%State{output: output, paused: paused}) do
    asked = asked(paused)

    for {id, {pid, tag}} <- output.subscribers.by_id do
      %{pid: pid, tag: tag, demand: Output.demand_of(output, id), asked_while_paused: Map.get(asked, id, 0)}
    end
  end

  defp asked(nil), do: %{}

  defp asked({_mode, asks}),
    do: Enum.reduce(asks, %{}, fn {id, n}, asked -> Map.update(asked, id, n, &(&1 + n)) end)

  defp producer(tag, {producer, cancel, :manual}),
    do: %{producer: producer, tag: tag, cancel: cancel, demand: :manual, min_demand: nil, max_demand: nil}

  defp producer(tag, {producer, cancel, {demand, min, max}}),
    do: %{producer: producer, tag: tag, cancel: cancel, demand: demand, min_demand: min, max_demand: max}
end
