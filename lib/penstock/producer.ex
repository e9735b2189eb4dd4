defmodule Penstock.Producer do
  @moduledoc false
  # The process of a producer whose events live in the native core, whatever they come from: its subscriptions and what
  # they ask for, pauses, modes, and what it tells of itself. The events go from the core to the consumers' mailboxes,
  # never through here, but for consumers of other nodes and filters that are functions.
  #
  # With a dispatcher that the core does not have the process is a stage instead, and takes the events:
  # `Penstock.Producer.Hosted`.
  #
  # A module that users know uses it:
  #
  #     use Penstock.Producer
  #
  #     def start_link(settings), do: ... Penstock.Producer.start_link(__MODULE__, settings, dispatch, options)
  #     def init(settings), do: ... Penstock.Producer.init(__MODULE__, own, native, dispatch, mode)
  #
  # and has the callbacks below for what is its own.

  import Penstock.Stage.Protocol, only: [is_ask: 2, is_from: 1, is_subscribe: 2]

  require Logger

  alias Penstock.{Error, Native, Stage}
  alias Penstock.Producer.{Control, Dispatch, Hosted, Served, State, Subscriptions}
  alias Penstock.Stage.{Protocol, Subscribers}

  @doc "What logs call the process."
  @callback who(own :: term) :: String.t()

  @doc "What the native core has reached between events, or what has happened to its connection."
  @callback reached(mark :: {kind :: atom, what :: term}, own :: term) ::
              {:cont, own :: term} | {:stop, reason :: term, own :: term}

  @doc "What its own `info/1` tells, from what the native core does."
  @callback info_of(native :: map, own :: term) :: map

  @type step ::
          {:noreply, State.t()}
          | {:reply, term, State.t()}
          | {:stop, term, State.t()}
          | {:stop, term, term, State.t()}

  defmacro __using__(_options) do
    quote do
      use GenServer

      @behaviour Penstock.Producer

      @impl GenServer
      defdelegate handle_info(message, state), to: Penstock.Producer
      @impl GenServer
      defdelegate handle_call(request, from, state), to: Penstock.Producer
      @impl GenServer
      defdelegate handle_cast(request, state), to: Penstock.Producer
      @impl GenServer
      defdelegate terminate(reason, state), to: Penstock.Producer

      # Of a stage; the others are the same.
      @doc false
      defdelegate handle_demand(n, state), to: Penstock.Producer.Hosted
    end
  end

  @most Protocol.most()

  @spec start_link(module, settings :: term, Dispatch.t(), GenServer.options()) :: GenServer.on_start()
  def start_link(kind, settings, %Dispatch{kind: :hosted}, options),
    do: Stage.start_link(kind, settings, options)

  def start_link(kind, settings, _dispatch, options), do: GenServer.start_link(kind, settings, options)

  # A buffer of a stage that were full would lose events. It never holds more than what was asked for.
  @spec init(module, own :: term, native :: reference, Dispatch.t(), :forward | :accumulate) ::
          {:ok, State.t()} | {:producer, Hosted.t(), keyword}
  def init(kind, own, native, %Dispatch{kind: :hosted, option: dispatcher}, mode) do
    options = [dispatcher: dispatcher, demand: mode, buffer_size: :infinity]
    {:producer, %Hosted{kind: kind, own: own, native: native}, options}
  end

  def init(kind, own, native, dispatch, mode),
    do: {:ok, %State{kind: kind, own: own, native: native, dispatch: dispatch, mode: mode}}

  @spec handle_info(term, State.t() | Hosted.t()) :: step | Hosted.step()
  def handle_info({:"$gen_producer", from, {:ask, n}}, state) when is_ask(from, n), do: ask(from, n, state)

  def handle_info({:penstock, :ready}, %State{native: native} = state),
    do: served(Native.producer_serve(native), state)

  def handle_info({:penstock, :panicked}, state) do
    {:stop, %Error{reason: :internal, message: "the reader of #{who(state)} panicked"}, state}
  end

  def handle_info(message, %Hosted{} = hosted) do
    with :unknown <- Hosted.handle_info(message, hosted),
         do: {:noreply, [], unexpected("message", message, hosted)}
  end

  def handle_info({:"$gen_producer", from, {:subscribe, current, options}}, state)
      when is_subscribe(from, current),
      do: from |> Subscriptions.subscribe(current, options, state) |> run()

  def handle_info({:"$gen_producer", {_pid, tag} = from, {:cancel, reason}}, state) when is_from(from),
    do: tag |> Subscriptions.cancel(:cancel, reason, state) |> run()

  def handle_info({:DOWN, monitor, :process, _pid, reason} = message, state) do
    case Subscribers.monitored(state.subscribers, monitor) do
      {:ok, tag} -> tag |> Subscriptions.cancel(:down, reason, state) |> run()
      :error -> {:noreply, unexpected("message", message, state)}
    end
  end

  def handle_info(message, state), do: {:noreply, unexpected("message", message, state)}

  # Anyone can send anything; nothing of it may end a process that others depend on.
  defp unexpected(kind, message, state) do
    Logger.error("#{who(state)} received an unexpected #{kind}: #{inspect(message)}")
    state
  end

  defp who(%{kind: kind, own: own}), do: kind.who(own)

  @spec handle_call(term, GenServer.from(), State.t() | Hosted.t()) :: step | tuple
  def handle_call({kind, :info}, _from, %Hosted{kind: kind} = hosted),
    do: {:reply, kind.info_of(Hosted.info(hosted), hosted.own), [], hosted}

  def handle_call(request, _from, %Hosted{} = hosted),
    do: {:reply, {:error, :unknown_call}, [], unexpected("call", request, hosted)}

  def handle_call({kind, :info}, _from, %State{kind: kind} = state) do
    {:reply, kind.info_of(Native.producer_info(state.native), state.own), state}
  end

  def handle_call(:"$estimate_buffered_count", _from, state) do
    {:reply, Native.producer_info(state.native).ready_events, state}
  end

  def handle_call({:"$subscribe", _current, _to, _options}, _from, state) do
    {:reply, {:error, :not_a_consumer}, state}
  end

  def handle_call(:"$demand", _from, state), do: {:reply, state.mode, state}

  # Nothing is buffered here that such a message would have to wait behind.
  def handle_call({:"$info", message}, _from, state) do
    send(self(), message)
    {:reply, :ok, state}
  end

  def handle_call({:"$penstock", :info}, _from, state), do: {:reply, Control.info(state), state}
  def handle_call({:"$penstock", :pause}, _from, state), do: state |> Control.pause() |> run() |> reply(:ok)
  def handle_call({:"$penstock", :resume}, _from, state), do: state |> Control.resume() |> run() |> reply(:ok)

  def handle_call(request, _from, state),
    do: {:reply, {:error, :unknown_call}, unexpected("call", request, state)}

  defp reply({:noreply, state}, reply), do: {:reply, reply, state}
  defp reply({:stop, reason, state}, reply), do: {:stop, reason, reply, state}

  @spec handle_cast(term, State.t() | Hosted.t()) :: step | Hosted.step()
  def handle_cast(request, %Hosted{} = hosted), do: {:noreply, [], unexpected("cast", request, hosted)}

  def handle_cast({:"$demand", mode}, state) when mode in [:forward, :accumulate],
    do: state |> Control.set_mode(mode) |> run()

  def handle_cast({:"$info", message}, state) do
    send(self(), message)
    {:noreply, state}
  end

  def handle_cast({:"$subscribe", _current, _to, _options}, state) do
    Logger.error("#{who(state)} is a producer and cannot subscribe")
    {:noreply, state}
  end

  def handle_cast(request, state), do: {:noreply, unexpected("cast", request, state)}

  defp ask(from, n, state) when n > 0 do
    case Subscribers.fetch(state.subscribers, from) do
      {:ok, id} -> credit(id, min(n, @most), state)
      :unknown -> {:noreply, state}
    end
  end

  defp ask(from, n, state) do
    Logger.error(
      "#{who(state)} ignores an ask for #{n} events from: #{inspect(from)}, expected a positive integer"
    )

    {:noreply, state}
  end

  defp credit(id, n, %State{paused: nil} = state), do: served(Native.producer_ask(state.native, id, n), state)
  defp credit(id, n, state), do: {:noreply, Control.hold(state, id, n)}

  defp served(:ok, state), do: {:noreply, state}
  defp served(served, state), do: Served.run([served], state)

  defp run({served, state}), do: Served.run(served, state)

  @spec terminate(term, State.t() | Hosted.t()) :: :ok
  def terminate(_reason, %{native: native}), do: Native.producer_close(native)
end
