defmodule Penstock.EventStore.ServerTest do
  use ExUnit.Case, async: true

  alias Penstock.{Error, Event, EventStore}
  alias Penstock.EventStore.Server

  defp start!(options \\ []), do: start_supervised!({Server, [port: 0] ++ options}, id: make_ref())

  defp connect(port), do: :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])

  # A whole answer over HTTP/1.1 shows that the server serves, not only listens.
  defp health(port) do
    {:ok, socket} = connect(port)
    :ok = :gen_tcp.send(socket, "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    {:ok, "HTTP/1.1 " <> <<status::binary-size(3)>> <> _} = :gen_tcp.recv(socket, 0, 5_000)
    status
  end

  defp temporary_dir do
    path = Path.join(System.tmp_dir!(), "penstock-#{System.unique_integer([:positive])}-#{System.pid()}")
    on_exit(fn -> File.rm_rf!(path) end)
    path
  end

  defp get(port, path) do
    {:ok, socket} = connect(port)
    :ok = :gen_tcp.send(socket, "GET #{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    whole(socket, "")
  end

  defp whole(socket, read) do
    case :gen_tcp.recv(socket, 0, 5_000) do
      {:ok, more} -> whole(socket, read <> more)
      {:error, :closed} -> read
    end
  end

  # Started outside a supervisor, a failure to start also exits the one who starts it.
  defp start_error(options) do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{} = error} = Server.start_link(options)
    error
  end

  test "a supervised server answers on a free port once it is started" do
    server = start!()
    assert Server.port(server) in 1..65_535
    assert health(Server.port(server)) == "204"
  end

  # So that a reader of the same VM never waits behind a busy server, or one whose disk stands still.
  if File.dir?("/proc/self/task") do
    test "it runs on threads of its own" do
      start!()

      names =
        for task <- File.ls!("/proc/self/task"),
            {:ok, name} <- [File.read("/proc/self/task/#{task}/comm")],
            do: name

      assert "penstock-server\n" in names
    end
  end

  test "the connection string is that of the port" do
    server = start!()
    assert Server.connection_string(server) == "esdb://127.0.0.1:#{Server.port(server)}?tls=false"
  end

  test "it goes by its name" do
    start!(name: __MODULE__.Named)
    assert Server.port(__MODULE__.Named) > 0
  end

  test "two servers run beside each other" do
    assert Server.port(start!()) != Server.port(start!())
  end

  test "a server that is reset is as at its first start, on the same port, and keeps what comes after" do
    for options <- [[], [data_dir: temporary_dir()]] do
      server = start!(options)
      connection = Server.connection_string(server)
      store = start_supervised!({EventStore, connection_string: connection}, id: make_ref())
      {:ok, _} = EventStore.append(store, "s", [Event.new("e", 1), Event.new("e", 2)])
      assert :ok = Server.reset(server)
      assert Server.connection_string(server) == connection
      # the connection of before was cut, which the first call may find out
      store = start_supervised!({EventStore, connection_string: connection}, id: make_ref())
      assert {:error, %Error{reason: :stream_not_found}} = EventStore.read(store, "s")
      {:ok, _} = EventStore.append(store, "s", [Event.new("e", 3)])
      assert {:ok, [%Event{body: 3}]} = EventStore.read(store, "s")
      assert for(_ <- 1..5, do: Server.reset(server)) == List.duplicate(:ok, 5)
    end
  end

  @tag :capture_log
  test "a server whose folder is gone cannot be reset, says so and ends" do
    Process.flag(:trap_exit, true)
    path = temporary_dir()
    {:ok, server} = Server.start_link(port: 0, data_dir: path)
    File.rm_rf!(path)
    assert {:error, %Error{reason: :internal, message: message}} = Server.reset(server)
    assert message =~ "penstock: it was removed by somebody else"
    assert_receive {:EXIT, ^server, %Error{reason: :internal, message: message}}
    assert message =~ "could not begin anew"
  end

  test "a server that is stopped has given back its port" do
    {:ok, server} = Server.start_link(port: 0)
    port = Server.port(server)
    assert :ok = Server.stop(server)
    assert {:error, :econnrefused} = connect(port)
    assert {:ok, again} = Server.start_link(port: port)
    assert Server.port(again) == port
    Server.stop(again)
  end

  test "a server whose process is killed ends, and its supervisor starts it on the same port and data again" do
    {:ok, former} = Server.start_link(port: 0)
    free = Server.port(former)
    Server.stop(former)
    options = [port: free, data_dir: temporary_dir(), name: __MODULE__.Killed]
    {:ok, supervisor} = Supervisor.start_link([{Server, options}], strategy: :one_for_one)
    killed = Process.whereis(__MODULE__.Killed)
    monitor = Process.monitor(killed)
    Process.exit(killed, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^killed, :killed}
    # a synchronous call: the supervisor has dealt with the death before it answers
    assert [{__MODULE__.Killed, restarted, :worker, [Server]}] = Supervisor.which_children(supervisor)
    assert is_pid(restarted) and restarted != killed
    assert health(free) == "204"
    Supervisor.stop(supervisor)
  end

  test "a server that follows a killed one at once gets its folder, whoever still reads there" do
    path = temporary_dir()
    {:ok, first} = Server.start_link(port: 0, data_dir: path)
    Process.flag(:trap_exit, true)
    store = start_supervised!({EventStore, connection_string: Server.connection_string(first)})
    events = for n <- 1..50, do: Event.new("e", %{n: n, more: String.duplicate("x", 20_000)})
    {:ok, _} = EventStore.append(store, "s", events)

    Enum.reduce(1..40, first, fn _round, server ->
      connection = Server.connection_string(server)
      reader = start_supervised!({EventStore, connection_string: connection}, id: make_ref())
      readers = for _ <- 1..4, do: Task.async(fn -> EventStore.read(reader, "s") end)
      Process.exit(server, :kill)
      assert_receive {:EXIT, ^server, :killed}
      assert {:ok, next} = Server.start_link(port: 0, data_dir: path)
      for task <- readers, do: Task.await(task)
      next
    end)
    |> Server.stop()
  end

  test "clients are told the address that is advertised, and the port listened on when it names none" do
    for {advertise, host, port} <- [
          {"events.example.com:3113", "events.example.com", 3113},
          {"localhost", "localhost", nil},
          {"[::1]", "::1", nil},
          {nil, "127.0.0.1", nil}
        ] do
      server = start!(if advertise, do: [advertise: advertise], else: [])
      gossip = get(Server.port(server), "/gossip")
      assert gossip =~ ~s("httpEndPointIp": "#{host}")
      assert gossip =~ ~s("httpEndPointPort": #{port || Server.port(server)})
    end
  end

  test "an address that cannot be advertised is an error that names the option, what it got and what it takes" do
    for advertise <- ["", "a:b", "h:0", "http://h", "a b", <<255>>, :localhost, 2113, ~c"localhost"] do
      error = start_error(port: 0, advertise: advertise)
      assert %Error{reason: :invalid_argument, details: %{option: :advertise}} = error
      assert error.message =~ "option :advertise must be"
      assert error.message =~ "HOST:PORT"
      if is_binary(advertise) and String.valid?(advertise), do: assert(error.message =~ inspect(advertise))
    end
  end

  @tag :capture_log
  test "a server that ends by itself ends its process with the reason, and what it held is free" do
    Process.flag(:trap_exit, true)
    options = [port: 0, data_dir: temporary_dir()]
    {:ok, server} = Server.start_link(options)
    port = Server.port(server)
    %{tag: tag} = :sys.get_state(server)
    failure = {:internal, "the embedded server ended by itself: panic: a fault", false, %{}}
    send(server, {:penstock_server, tag, {:failed, failure}})
    assert_receive {:EXIT, ^server, %Error{reason: :internal} = error}, 5_000
    assert Exception.message(error) =~ "the embedded server ended by itself: panic: a fault"
    assert {:ok, again} = Server.start_link(Keyword.put(options, :port, port))
    assert health(port) == "204"
    Server.stop(again)
  end

  test "a server with a certificate that was made for it answers who trusts that, and nobody else" do
    server = start!(tls: :self_made)
    {port, ca_file} = {Server.port(server), Server.ca_file(server)}
    assert Server.connection_string(server) == "esdb://127.0.0.1:#{port}?tls=true&tlsCaFile=#{ca_file}"
    {:ok, _started} = Application.ensure_all_started(:ssl)

    for host <- [{127, 0, 0, 1}, ~c"localhost"], protocol <- ["h2", "http/1.1"] do
      trusting = [
        verify: :verify_peer,
        cacertfile: ca_file,
        active: false,
        mode: :binary,
        alpn_advertised_protocols: [protocol]
      ]

      assert {:ok, socket} = :ssl.connect(host, port, trusting, 5_000)
      assert {:ok, ^protocol} = :ssl.negotiated_protocol(socket)

      if protocol == "http/1.1" do
        :ok = :ssl.send(socket, "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert {:ok, "HTTP/1.1 204" <> _} = :ssl.recv(socket, 0, 5_000)
      end

      :ssl.close(socket)
    end

    doubting = [verify: :verify_peer, cacerts: [], log_level: :none]
    assert {:error, _} = :ssl.connect({127, 0, 0, 1}, port, doubting, 5_000)
    Server.stop(server)
    refute File.exists?(ca_file)
  end

  test "files that are no certificate or key are an error that names them" do
    error = start_error(port: 0, tls: [certificate: "/no/such.pem", key: "/no/such.key"])
    assert %Error{reason: :invalid_argument, details: %{option: :tls}} = error
    assert error.message =~ "/no/such.pem cannot be used as a certificate"
  end

  test "what is not encrypted names no file" do
    assert Server.ca_file(start!()) == nil
  end

  test "a port in use is an error that names it" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    error = start_error(port: port)
    assert %Error{reason: :address_in_use, details: %{port: ^port}} = error
    assert error.message =~ "port #{port} is in use"
  end

  test "a data directory that cannot be made is an error that names it" do
    error = start_error(port: 0, data_dir: "/proc/no/such")
    assert %Error{reason: :data_dir_unusable, details: %{data_dir: "/proc/no/such"}} = error
    assert error.message =~ "/proc/no/such"
  end

  test "a data directory that another server has open is an error that names it" do
    path = temporary_dir()
    start!(data_dir: path)
    error = start_error(port: 0, data_dir: path)
    assert %Error{reason: :data_dir_in_use, details: %{data_dir: ^path}} = error
    assert error.message =~ path
  end

  test "a data directory with other files is an error that names it" do
    path = temporary_dir()
    File.mkdir_p!(path)
    File.write!(Path.join(path, "letter.txt"), "dear reader")
    error = start_error(port: 0, data_dir: path)
    assert %Error{reason: :corrupted_data, details: %{data_dir: ^path}} = error
    assert File.read!(Path.join(path, "letter.txt")) == "dear reader"
  end

  test "a data directory whose marker was overwritten is an error that names it" do
    path = temporary_dir()
    {:ok, server} = Server.start_link(port: 0, data_dir: path)
    Server.stop(server)
    File.write!(Path.join(path, "penstock"), "nonsense")
    error = start_error(port: 0, data_dir: path)
    assert %Error{reason: :corrupted_data, details: %{data_dir: ^path}} = error
  end

  test "options are refused by name" do
    for {options, option, text} <- [
          {[port: 70_000], :port, "option :port must be an integer from 0 to 65535, got: 70000"},
          {[port: "2113"], :port, ~s(got: "2113")},
          {[data_dir: 7], :data_dir, "option :data_dir must be a path or :memory, got: 7"},
          {[fsync: :always], :fsync, "option :fsync must be :group or :never, got: :always"},
          {[tls: true], :tls, "option :tls must be :self_made or [certificate: path, key: path], got: true"},
          {[tls: [certificate: "c"]], :tls, ~s(got: [certificate: "c"])},
          {[tls: [certificate: "c", key: ""]], :tls, "option :tls must be"},
          {[data: "x"], :data, "unknown option :data"},
          {%{port: 0}, nil, "must be a keyword list"}
        ] do
      assert {:error, %Error{reason: :invalid_argument, message: message, details: details}} =
               Server.start_link(options)

      assert details == %{option: option}
      assert message =~ text
    end
  end
end
