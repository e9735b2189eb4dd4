defmodule Penstock.EventStore.Server do
  @options [
    name: [
      type: {:or, nil, :name},
      default: nil,
      doc: "A name of the process, of any kind that `GenServer` takes."
    ],
    port: [type: {:integer, 0, 65_535}, default: 2113, doc: "The port to listen on, 0 for a free one."],
    data_dir: [
      type: {:or, :memory, {:check, &__MODULE__.path?/1, "a path"}},
      default: :memory,
      doc:
        "The directory to keep events in, which is made if there is none, or `:memory` to forget them when the server ends."
    ],
    fsync: [
      type: {:in, [:group, :never]},
      default: :group,
      doc:
        "When an append is acknowledged, where there is a `:data_dir`: `:group` when the disk has it, those that wait " <>
          "being synced together; `:never` when the operating system has it."
    ],
    advertise: [
      type: {:or, nil, {:check, &__MODULE__.text?/1, ~s("HOST" or "HOST:PORT")}},
      default: nil,
      doc:
        "Where clients are told to find the server: a name or an IP address (IPv6 in brackets). With nil, where it " <>
          "listens. Clients that discover the nodes of a cluster use it, and so does whatever reads `/gossip`; for a " <>
          "server behind a forwarded port or a proxy."
    ],
    tls: [
      type: {:or, nil, {:cast, &__MODULE__.cast_tls/1, ":self_made or [certificate: path, key: path]"}},
      default: nil,
      doc:
        "With what the server encrypts: two files in PEM, the certificates with the server's own first, and its key; or " <>
          "`:self_made`, a certificate that is made when it starts, for localhost, 127.0.0.1, ::1 and the advertised " <>
          "host, and that clients trust who are given `ca_file/1`. With nil, nothing is encrypted."
    ]
  ]

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

  #{Penstock.Options.docs(@options)}

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
  alias Penstock.Options.Complaint

  @type option ::
          {:port, :inet.port_number()}
          | {:data_dir, Path.t() | :memory}
          | {:fsync, :group | :never}
          | {:advertise, String.t()}
          | {:tls, :self_made | [certificate: Path.t(), key: Path.t()] | nil}
          | {:name, GenServer.name()}

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
  def port(server), do: GenServer.call(server, :address).port

  @doc """
  The file with the certificate that clients are to trust (their `tlsCaFile`), if it was made for this server: with
  `tls: :self_made`, and nil otherwise. The file is gone with the server.
  """
  @spec ca_file(GenServer.server()) :: Path.t() | nil
  def ca_file(server), do: GenServer.call(server, :address).ca_file

  @doc "The connection string of the server. With a certificate made for it, it names `ca_file/1`."
  @spec connection_string(GenServer.server()) :: String.t()
  def connection_string(server) do
    case GenServer.call(server, :address) do
      %{tls: false, port: port} ->
        "esdb://127.0.0.1:#{port}?tls=false"

      %{ca_file: nil, port: port} ->
        "esdb://127.0.0.1:#{port}?tls=true"

      %{ca_file: file, port: port} ->
        "esdb://127.0.0.1:#{port}?tls=true&tlsCaFile=#{URI.encode(file, &plain?/1)}"
    end
  end

  defp plain?(character), do: character == ?/ or URI.char_unreserved?(character)

  @doc "Ends the server: open subscriptions are told, and the port and the data directory are free afterwards."
  @spec stop(GenServer.server(), term, timeout) :: :ok
  def stop(server, reason \\ :normal, timeout \\ :infinity), do: GenServer.stop(server, reason, timeout)

  @doc """
  Has the server begin as at its first start, on the same port: for tests, between one case and the next.

  All events and streams are gone, also those that a `:data_dir` keeps, and every connection is cut. What connects
  meanwhile waits. Returns when that is done; a folder that cannot be changed ends the server.
  """
  @spec reset(GenServer.server(), timeout) :: :ok | {:error, Error.t()}
  def reset(server, timeout \\ 30_000), do: GenServer.call(server, :reset, timeout)

  @impl GenServer
  def init(settings) do
    # so that terminate/2 gives back the port before a supervisor starts the next one
    Process.flag(:trap_exit, true)
    tag = make_ref()

    with {:ok, resource} <- Native.server_start(settings, tag),
         {:ok, {port, ca_file}} <- await_start(tag) do
      address = %{port: port, ca_file: ca_file, tls: settings.tls != nil}
      {:ok, %{resource: resource, tag: tag, address: address, resets: %{}}}
    else
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:address, _from, state), do: {:reply, state.address, state}

  def handle_call(:reset, from, state) do
    tag = make_ref()
    :ok = Native.server_reset(state.resource, tag)
    {:noreply, %{state | resets: Map.put(state.resets, tag, from)}}
  end

  @impl GenServer
  def handle_info({:penstock_server, tag, {:failed, error}}, %{tag: tag} = state) do
    error = Error.from_native(error)
    # It may be a reset that it has failed at; that is told here as well, whichever comes first.
    for {_tag, from} <- state.resets, do: GenServer.reply(from, {:error, error})
    {:stop, error, state}
  end

  def handle_info({:penstock_server, tag, :stopped}, %{tag: tag} = state), do: {:stop, :server_ended, state}

  def handle_info({:penstock_server, tag, outcome}, %{resets: resets} = state) when is_map_key(resets, tag) do
    {from, resets} = Map.pop!(resets, tag)
    GenServer.reply(from, with({:error, error} <- outcome, do: {:error, Error.from_native(error)}))
    {:noreply, %{state | resets: resets}}
  end

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
    case Options.validate(options, @options) do
      {:ok, settings} ->
        {:ok, %{settings | data_dir: folder(settings.data_dir)}}

      {:error, wrong} ->
        message = Complaint.of_error(wrong)
        {:error, %Error{reason: :invalid_argument, message: message, details: %{option: wrong.option}}}
    end
  end

  defp folder(:memory), do: nil
  defp folder(path), do: Path.expand(path)

  @doc false
  def cast_tls(:self_made), do: {:ok, :self_made}

  def cast_tls(files) do
    with true <- Keyword.keyword?(files),
         [certificate: certificate, key: key] <- Enum.sort(files),
         true <- path?(certificate) and path?(key) do
      {:ok, {Path.expand(certificate), Path.expand(key)}}
    else
      _ ->
        {:error, "option :tls must be :self_made or [certificate: path, key: path], got: #{inspect(files)}"}
    end
  end

  @doc false
  def path?(path), do: path != "" and text?(path)

  @doc false
  # What a host and a port are is for the core to say.
  def text?(value), do: is_binary(value) and String.valid?(value)
end
