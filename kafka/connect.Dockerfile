# The Connect worker with both Debezium connectors. Build context: the repository's root.
ARG KAFKA_IMAGE
ARG MAVEN_IMAGE

FROM ${MAVEN_IMAGE} AS jars
WORKDIR /kafka
COPY kafka/pom.xml kafka/jars.sha256 kafka/fetch-jars.sh ./
RUN sh fetch-jars.sh postgres jdbc
COPY kafka/connect-distributed.properties kafka/log4j2.properties kafka/connect-entrypoint.sh ./
# Whatever the checkout's modes are.
RUN chmod -R a+rX /kafka && chmod 755 connect-entrypoint.sh

FROM ${KAFKA_IMAGE}
COPY --from=jars /kafka/jars/plugins/ /opt/cargo/plugins/
COPY --from=jars /kafka/connect-distributed.properties /kafka/log4j2.properties /kafka/connect-entrypoint.sh /opt/cargo/
# Only /tmp is writable at run time.
ENV LOG_DIR=/tmp/connect KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/opt/cargo/log4j2.properties
USER 1000:1000
CMD ["/opt/cargo/connect-entrypoint.sh"]
