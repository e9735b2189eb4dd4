defmodule Penstock.EventStore.Server do
  @moduledoc """
  An EventStoreDB-compatible server inside the VM, as a child of a supervisor.

      children = [
        {Penstock.EventStore.Server, name: MyApp.EventStore, port: 0, data_dir: "priv/events"}
      ]

      Penstock.EventStore.Server.connection_string(MyApp.EventStore)
      #=> "esdb://127.0.0.1:38423?tls=false"

  It speaks the gRPC API of EventStoreDB over HTTP/2 on 127.0.0.1, so any client of EventStoreDB or KurrentDB can use
  it. It runs in the Rust core, on threads of its own: the process only owns it, and the server ends when the process
  does. Neither a busy server nor a slow disk holds up who reads in the same VM, from this server or another.

  ## Options

    * `:port` - the port to listen on, 0 for a free one; default 2113
    * `:data_dir` - the directory to keep events in, which is made if there is none, or `:memory` (the default) to
      forget them when the server ends
    * `:fsync` - when an append is acknowledged, where there is a `:data_dir`: `:group` (the default) when the disk has it,
      those that wait being synced together; `:never` when the operating system has it
    * `:advertise` - where clients are told to find the server, `"HOST"` or `"HOST:PORT"`: a name or an IP address
      (IPv6 in brackets); default: where it listens. Clients that discover the nodes of a cluster use it, and so does
      whatever reads `/gossip`; for a server behind a forwarded port or a proxy
    * `:name` - a name for the process, as `GenServer` takes them

  Starting fails with a `Penstock.Error` whose reason is `:invalid_argument`, `:address_in_use`, `:data_dir_in_use`,
  `:data_dir_unusable` or `:corrupted_data`. Should the server end by itself, the process ends with a `Penstock.Error`
  that says why; the port and the directory are free by then, so a supervisor can start the next one.

  What was acknowledged survives the end of the VM, however sudden, and with `fsync: :group` that of the machine, too.
  The guide "The data folder" says what is promised, and what can be done when a folder is refused.

  ## Limits

  Some things a real EventStoreDB lets a client do until it falls over are bounded here:

    * a batch (`BatchAppend`) that is not whole 2 seconds after its first chunk times out, as in the real server
    * appends that are not whole yet take at most 128 MiB for one connection and 256 MiB for all; what comes beyond that
      is refused with `RESOURCE_EXHAUSTED`
    * a regular expression of a filter may go back 200,000 times on one name or type; one that needs more ends its call
      with `INVALID_ARGUMENT` and is named in the text
    * an error's headers are shortened to 8 KiB, which every client takes: first the middle of the text, then whole
      fields. Status and `exception` are always there
    * a call whose `grpc-timeout` is over is given up with `DEADLINE_EXCEEDED`; an append that was not decided by then is
      not written, and one that was may be written all the same
    * a client that answers no HTTP/2 ping for 10 seconds, or that has not said what it speaks after 30, is let go
  """

  use GenServer

  alias Penstock.{Error, Native, Options}
  alias Penstock.EventStore.Settings

  @type option ::
          {:port, :inet.port_number()}
          | {:data_dir, Path.t() | :memory}
          | {:fsync, :group | :never}
          | {:advertise, String.t()}
          | {:name, GenServer.name()}

  @default_port 2113
  # The core retries for two seconds at most; beyond that something is wrong with it.
  @start_timeout 30_000
  @stop_timeout 5_000

  @doc "Starts a server; it answers once this returns."
  @spec start_link([option]) :: {:ok, pid} | {:error, Error.t() | term}
  def start_link(options \\ []) do
    with {:ok, settings} <- validate(options) do
      GenServer.start_link(__MODULE__, settings, Keyword.take(options, [:name]))
    end
  end

  @doc "A specification to start it under a supervisor; its id is its name, if it has one."
  @spec child_spec([option]) :: Supervisor.child_spec()
  def child_spec(options),
    do: %{id: Settings.id(options, __MODULE__), start: {__MODULE__, :start_link, [options]}, type: :worker}

  @doc "The port that the server listens on."
  @spec port(GenServer.server()) :: :inet.port_number()
  def port(server), do: GenServer.call(server, :port)

  @doc "The connection string of the server."
  @spec connection_string(GenServer.server()) :: String.t()
  def connection_string(server), do: "esdb://127.0.0.1:#{port(server)}?tls=false"

  @doc "Ends the server: open subscriptions are told, and the port and the data directory are free afterwards."
  @spec stop(GenServer.server(), term, timeout) :: :ok
  def stop(server, reason \\ :normal, timeout \\ :infinity), do: GenServer.stop(server, reason, timeout)

  @impl GenServer
  def init(%{port: port, data_dir: data_dir, fsync: fsync, advertise: advertise}) do
    # so that terminate/2 gives back the port before a supervisor starts the next one
    Process.flag(:trap_exit, true)
    tag = make_ref()

    with {:ok, resource} <- Native.server_start(port, data_dir, fsync, advertise, tag),
         {:ok, port} <- await_start(tag) do
      {:ok, %{resource: resource, tag: tag, port: port}}
    else
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:port, _from, state), do: {:reply, state.port, state}

  @impl GenServer
  def handle_info({:penstock_server, tag, {:failed, error}}, %{tag: tag} = state),
    do: {:stop, Error.from_native(error), state}

  def handle_info({:penstock_server, tag, :stopped}, %{tag: tag} = state), do: {:stop, :server_ended, state}
  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(:server_ended, _state), do: :ok

  def terminate(_reason, %{resource: resource, tag: tag}) do
    Native.server_stop(resource)

    receive do
      {:penstock_server, ^tag, :stopped} -> :ok
    after
      @stop_timeout -> :ok
    end
  end

  defp await_start(tag) do
    receive do
      {:penstock_server, ^tag, result} -> result
    after
      @start_timeout ->
        {:error, {:internal, "the embedded server did not start within #{@start_timeout} ms", false, %{}}}
    end
  end

  defp validate(options) do
    with :ok <- known(options),
         :ok <- validate_name(options[:name]),
         {:ok, port} <- validate_port(Keyword.get(options, :port, @default_port)),
         {:ok, data_dir} <- validate_data_dir(Keyword.get(options, :data_dir, :memory)),
         {:ok, fsync} <- validate_fsync(Keyword.get(options, :fsync, :group)),
         {:ok, advertise} <- validate_advertise(Keyword.get(options, :advertise)) do
      {:ok, %{port: port, data_dir: data_dir, fsync: fsync, advertise: advertise}}
    end
  end

  defp known(options) do
    if Keyword.keyword?(options) do
      case Keyword.keys(options) -- [:port, :data_dir, :fsync, :advertise, :name] do
        [] ->
          :ok

        [twice | _] when twice in [:port, :data_dir, :fsync, :advertise, :name] ->
          invalid(twice, "option #{inspect(twice)} is given more than once")

        [unknown | _] ->
          invalid(
            unknown,
            "unknown option #{inspect(unknown)}; it takes :port, :data_dir, :fsync, :advertise and :name"
          )
      end
    else
      invalid(nil, "the options must be a keyword list, got: #{inspect(options)}")
    end
  end

  defp validate_name(name) do
    if name == nil or Options.name?(name),
      do: :ok,
      else:
        invalid(
          :name,
          "option :name must be an atom, {:global, term} or {:via, registry, term}, got: #{inspect(name)}"
        )
  end

  defp validate_port(port) when port in 0..65_535, do: {:ok, port}

  defp validate_port(other),
    do: invalid(:port, "option :port must be an integer from 0 to 65535, got: #{inspect(other)}")

  defp validate_data_dir(:memory), do: {:ok, nil}

  defp validate_data_dir(path) do
    if is_binary(path) and path != "" and String.valid?(path),
      do: {:ok, Path.expand(path)},
      else:
        invalid(
          :data_dir,
          "option :data_dir must be a path or :memory, got: #{inspect(path)}#{Options.hint(path)}"
        )
  end

  # What a host and a port are is for the core to say.
  defp validate_advertise(nil), do: {:ok, nil}

  defp validate_advertise(address) when is_binary(address) do
    if String.valid?(address), do: {:ok, address}, else: invalid_advertise(address)
  end

  defp validate_advertise(other), do: invalid_advertise(other)

  defp invalid_advertise(other),
    do: invalid(:advertise, ~s(option :advertise must be "HOST" or "HOST:PORT", got: #{inspect(other)}))

  defp validate_fsync(fsync) when fsync in [:group, :never], do: {:ok, fsync}

  defp validate_fsync(other),
    do: invalid(:fsync, "option :fsync must be :group or :never, got: #{inspect(other)}")

  defp invalid(option, message) do
    {:error, %Error{reason: :invalid_argument, message: message, details: %{option: option}}}
  end
end
