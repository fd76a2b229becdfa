"""Groups of Maven by artifact: of libraries whose jars often name theirs neither in a pom.properties nor a manifest.

Those that Gradle, Ant, Ivy, sbt or bnd built, as Maven Central has them, and popular ones that are packed again. Most
artifacts are the only ones of their name there; a jar of such a name may be another one all the same, so the group
stays a guess.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

OWN: Final = "="
"""In the table, the group of artifacts that are their own group, such as commons-io:commons-io."""

MAX_BEGINNING: Final = 64
"""Characters of the longest beginning: the name of a file may be long."""

_TABLE: Final = """
=                                  antlr aopalliance asm axis bsf c3p0 cglib classworlds commons-beanutils
=                                  commons-chain commons-cli commons-codec commons-collections commons-configuration
=                                  commons-daemon commons-dbcp commons-dbutils commons-digester commons-discovery
=                                  commons-el commons-fileupload commons-httpclient commons-io commons-jexl
=                                  commons-jxpath commons-lang commons-logging commons-net commons-pool
=                                  commons-validator commons-vfs dom4j hsqldb jakarta-regexp jdom junit log4j ognl oro
=                                  p6spy postgresql stax-api struts velocity xalan xml-apis xmlpull xpp3
asm                                asm-analysis asm-commons asm-tree asm-util asm-xml
at.yawk.lz4                        lz4-java>=1.8.1
axis                               axis-wsdl4j
cglib                              cglib-nodep
ch.qos.logback                     logback-access logback-classic logback-core
co.elastic.clients                 elasticsearch-java
com.alibaba                        druid fastjson
com.auth0                          java-jwt jwks-rsa
com.beust                          jcommander
com.fasterxml.jackson.core         jackson-annotations jackson-core jackson-databind
com.fasterxml.jackson.dataformat   jackson-dataformat-*
com.fasterxml.jackson.datatype     jackson-datatype-*
com.fasterxml.jackson.module       jackson-module-*
com.fasterxml.woodstox             woodstox-core
com.github.luben                   zstd-jni
com.github.tomakehurst             wiremock-jre8 wiremock-jre8-standalone
com.google.code.findbugs           findbugs jsr305
com.google.code.gson               gson
com.google.dagger                  dagger
com.google.guava                   failureaccess guava listenablefuture
com.google.gwt                     gwt-dev gwt-servlet gwt-user
com.google.inject                  guice guice-servlet
com.google.protobuf                protobuf-java protobuf-java-util protobuf-javalite protobuf-kotlin
com.graphql-java                   graphql-java-extended-scalars java-dataloader
com.h2database                     h2
com.hierynomus                     asn-one smbj sshj
com.jayway.jsonpath                json-path json-path-assert
com.lmax                           disruptor
com.mchange                        c3p0>=0.9.2 mchange-commons-java
com.microsoft.sqlserver            mssql-jdbc sqljdbc4
com.mysql                          mysql-connector-j
com.netflix.archaius               archaius-core
com.nimbusds                       nimbus-jose-jwt oauth2-oidc-sdk
com.oracle.database.jdbc           ojdbc10 ojdbc11 ojdbc6 ojdbc8 ucp ucp11
com.oracle.database.security       oraclepki osdt_cert osdt_core
com.squareup.moshi                 moshi moshi-*
com.squareup.okhttp                okhttp okhttp-urlconnection
com.squareup.okhttp3               logging-interceptor okhttp-*>=3 okhttp>=3
com.squareup.okio                  okio okio-*
com.squareup.retrofit              retrofit
com.squareup.retrofit2             retrofit>=2
com.squareup.wire                  wire-runtime wire-runtime-jvm wire-schema wire-schema-jvm
com.thoughtworks.xstream           xstream
com.typesafe                       config
com.typesafe.akka                  akka-*
com.unboundid                      unboundid-ldapsdk
io.arrow-kt                        arrow-*
io.github.microutils               kotlin-logging kotlin-logging-jvm
io.github.oshai                    kotlin-logging-jvm>=5 kotlin-logging>=5
io.grpc                            grpc-alts grpc-api grpc-auth grpc-census grpc-context grpc-core grpc-googleapis
io.grpc                            grpc-grpclb grpc-inprocess grpc-kotlin-stub grpc-netty grpc-netty-shaded grpc-okhttp
io.grpc                            grpc-protobuf grpc-protobuf-lite grpc-rls grpc-services grpc-stub grpc-util grpc-xds
io.ktor                            ktor-*
io.micrometer                      context-propagation micrometer-*
io.micronaut                       micronaut-core micronaut-http micronaut-http-* micronaut-inject micronaut-runtime
io.minio                           minio minio-admin
io.mockk                           mockk mockk-*
io.netty                           netty-* netty>=4
io.opencensus                      opencensus-*
io.opentelemetry                   opentelemetry-api opentelemetry-common opentelemetry-context
io.opentelemetry                   opentelemetry-exporter-* opentelemetry-sdk opentelemetry-sdk-*
io.perfmark                        perfmark-api
io.projectreactor                  reactor-core reactor-test reactor-tools
io.projectreactor.addons           reactor-adapter reactor-extra reactor-pool
io.projectreactor.ipc              reactor-netty
io.projectreactor.kafka            reactor-kafka
io.projectreactor.netty            reactor-netty-* reactor-netty>=0.8
io.reactivex                       rxjava
io.reactivex.rxjava2               rxjava>=2
io.reactivex.rxjava3               rxjava>=3
io.undertow                        undertow-core undertow-servlet
it.unimi.dsi                       fastutil
javax.annotation                   jsr250-api
javax.inject                       javax.inject
javax.servlet                      jsp-api jstl servlet-api
javax.transaction                  jta
javax.xml.bind                     jaxb-api
mysql                              mysql-connector-java
net.java.dev.jna                   jna jna-platform
net.jpountz.lz4                    lz4
net.minidev                        accessors-smart json-smart
net.sf.ehcache                     ehcache ehcache-core
net.sf.jopt-simple                 jopt-simple
net.sourceforge.jtds               jtds
net.sourceforge.nekohtml           nekohtml
org.antlr                          ST4 antlr-runtime antlr4 antlr4-runtime stringtemplate
org.apache.activemq                activemq-* artemis-*
org.apache.ant                     ant ant-*
org.apache.axis                    axis-ant axis-jaxrpc axis-saaj
org.apache.camel                   camel-*
org.apache.commons                 commons-collections4 commons-compress commons-configuration2 commons-crypto
org.apache.commons                 commons-csv commons-dbcp2 commons-email commons-exec commons-imaging commons-jexl3
org.apache.commons                 commons-lang3 commons-math commons-math3 commons-pool2 commons-text commons-vfs2
org.apache.cxf                     cxf-*
org.apache.derby                   derby derbyclient derbynet derbyshared derbytools
org.apache.geode                   geode-*
org.apache.groovy                  groovy-*>=4 groovy>=4
org.apache.hadoop                  hadoop-*
org.apache.httpcomponents          httpasyncclient httpclient httpcore httpcore-nio httpmime
org.apache.jmeter                  ApacheJMeter ApacheJMeter_core jorphan
org.apache.kafka                   connect-api connect-json connect-runtime kafka-clients kafka-metadata kafka-raft
org.apache.kafka                   kafka-server-common kafka-storage kafka-storage-api kafka-streams kafka-streams-*
org.apache.kafka                   kafka_2.11 kafka_2.12 kafka_2.13
org.apache.logging.log4j           log4j-*
org.apache.lucene                  lucene-*
org.apache.pdfbox                  fontbox pdfbox
org.apache.poi                     poi poi-*
org.apache.santuario               xmlsec
org.apache.shiro                   shiro-*
org.apache.solr                    solr-*
org.apache.struts                  struts-core struts-taglib struts-tiles struts2-*
org.apache.tika                    tika-*
org.apache.tomcat                  tomcat-*
org.apache.tomcat.embed            tomcat-embed-*
org.apache.velocity                velocity-engine-* velocity-tools velocity>=1.5
org.apache.xmlbeans                xmlbeans
org.apache.xmlgraphics             batik-* fop fop-* xmlgraphics-commons
org.apache.zookeeper               zookeeper zookeeper-jute
org.apiguardian                    apiguardian-api
org.aspectj                        aspectjrt aspectjtools aspectjweaver
org.bouncycastle                   bc-fips bcjmail-* bcmail-* bcpg-* bcpkix-* bcprov-* bctls-* bctsp-* bcutil-*
org.checkerframework               checker-compat-qual checker-qual
org.codehaus.groovy                groovy groovy-*
org.codehaus.jackson               jackson-core-asl jackson-jaxrs jackson-mapper-asl jackson-xc
org.codehaus.jettison              jettison
org.dom4j                          dom4j>=2
org.eclipse.jdt                    ecj org.eclipse.jdt.core
org.eclipse.jetty                  jetty-client jetty-http jetty-io jetty-security jetty-server jetty-servlet>=7
org.eclipse.jetty                  jetty-servlets jetty-util>=7 jetty-webapp>=7 jetty-xml
org.eclipse.platform               org.eclipse.core.commands org.eclipse.core.contenttype org.eclipse.core.expressions
org.eclipse.platform               org.eclipse.core.filesystem org.eclipse.core.jobs org.eclipse.core.resources
org.eclipse.platform               org.eclipse.core.runtime org.eclipse.equinox.app org.eclipse.equinox.common
org.eclipse.platform               org.eclipse.equinox.preferences org.eclipse.equinox.registry org.eclipse.osgi
org.eclipse.platform               org.eclipse.text
org.eclipse.sisu                   org.eclipse.sisu.inject org.eclipse.sisu.plexus
org.ehcache                        ehcache>=3
org.elasticsearch                  elasticsearch elasticsearch-*
org.elasticsearch.client           elasticsearch-rest-client elasticsearch-rest-client-sniffer
org.elasticsearch.client           elasticsearch-rest-high-level-client
org.freemarker                     freemarker freemarker-gae
org.hamcrest                       hamcrest hamcrest-*
org.hibernate                      hibernate-annotations hibernate-c3p0 hibernate-core hibernate-ehcache
org.hibernate                      hibernate-entitymanager hibernate-envers hibernate-hikaricp hibernate-jcache
org.hibernate                      hibernate-jpamodelgen hibernate-spatial hibernate-validator
org.hibernate.common               hibernate-commons-annotations
org.hibernate.orm                  hibernate-c3p0>=6 hibernate-core>=6 hibernate-envers>=6 hibernate-hikaricp>=6
org.hibernate.orm                  hibernate-jcache>=6 hibernate-jpamodelgen>=6 hibernate-spatial>=6
org.hibernate.validator            hibernate-validator>=6
org.hsqldb                         hsqldb>=2
org.igniterealtime.smack           smack-*
org.jboss.netty                    netty
org.jdom                           jdom2
org.jetbrains.exposed              exposed-*
org.jetbrains.kotlin               kotlin-compiler kotlin-compiler-* kotlin-reflect kotlin-script-* kotlin-scripting-*
org.jetbrains.kotlin               kotlin-stdlib kotlin-stdlib-* kotlin-test kotlin-test-*
org.jetbrains.kotlinx              kotlinx-*
org.jsoup                          jsoup
org.junit.jupiter                  junit-jupiter junit-jupiter-*
org.junit.platform                 junit-platform-*
org.junit.vintage                  junit-vintage-engine
org.lz4                            lz4-java
org.mockito                        mockito-all mockito-core mockito-inline mockito-junit-jupiter
org.mongodb                        bson bson-* mongo-java-driver mongodb-crypt mongodb-driver mongodb-driver-*
org.mortbay.jetty                  jetty jetty-servlet jetty-util jetty-webapp
org.mozilla                        rhino rhino-*
org.opensearch                     opensearch opensearch-*
org.opensearch.client              opensearch-java opensearch-rest-client opensearch-rest-high-level-client
org.opentest4j                     opentest4j
org.ow2.asm                        asm-analysis>=4 asm-commons>=4 asm-tree>=4 asm-util>=4 asm>=4
org.owasp.antisamy                 antisamy
org.owasp.esapi                    esapi
org.postgresql                     postgresql>=9.2
org.projectlombok                  lombok
org.python                         jython jython-standalone
org.reactivestreams                reactive-streams reactive-streams-*
org.scala-lang                     scala-compiler scala-library scala-reflect
org.slf4j                          slf4j-*
org.springframework                spring spring-aop spring-aspects spring-beans spring-context spring-context-indexer
org.springframework                spring-context-support spring-core spring-core-test spring-expression
org.springframework                spring-instrument spring-jcl spring-jdbc spring-jms spring-messaging spring-orm
org.springframework                spring-oxm spring-r2dbc spring-test spring-tx spring-web spring-webflux
org.springframework                spring-webmvc spring-webmvc-portlet spring-websocket
org.springframework.ai             spring-ai-*
org.springframework.amqp           spring-amqp spring-rabbit spring-rabbit-*
org.springframework.batch          spring-batch-*
org.springframework.boot           spring-boot spring-boot-*
org.springframework.cloud          spring-cloud-*
org.springframework.data           spring-data-*
org.springframework.graphql        spring-graphql spring-graphql-test
org.springframework.hateoas        spring-hateoas
org.springframework.integration    spring-integration-*
org.springframework.kafka          spring-kafka spring-kafka-test
org.springframework.ldap           spring-ldap-*
org.springframework.modulith       spring-modulith-*
org.springframework.plugin         spring-plugin-*
org.springframework.pulsar         spring-pulsar spring-pulsar-*
org.springframework.restdocs       spring-restdocs-*
org.springframework.retry          spring-retry
org.springframework.security       spring-security-*
org.springframework.security.oauth spring-security-oauth spring-security-oauth2
org.springframework.session        spring-session-*
org.springframework.shell          spring-shell spring-shell-*
org.springframework.statemachine   spring-statemachine-*
org.springframework.vault          spring-vault-*
org.springframework.webflow        spring-binding spring-faces spring-js spring-webflow
org.springframework.ws             spring-ws-* spring-xml
org.testng                         testng
org.thymeleaf                      thymeleaf thymeleaf-spring4 thymeleaf-spring5 thymeleaf-spring6
org.tukaani                        xz
org.xerial                         sqlite-jdbc
org.xerial.snappy                  snappy-java
org.xmlresolver                    xmlresolver
org.yaml                           snakeyaml
xalan                              serializer
xerces                             xercesImpl xmlParserAPIs
xml-apis                           xml-apis-ext
xpp3                               xpp3_min
"""
"""A group and its artifacts, or beginnings of their names (`spring-boot-*`); from a version on where it has moved."""


def group_of(artifact: str, version: str) -> str:
    """Return the group of an artifact of a version, or "" if the table has none."""
    groups = _groups()
    numbers = _numbers(version)
    found = (group for name in _names(artifact) for since, group in groups.get(name, ()) if since <= numbers)
    group = next(found, "")
    return artifact if group == OWN else group


def _names(artifact: str) -> Iterator[str]:
    """Yield an artifact and its beginnings, the longest first: a-b-c, a-b-*, a-*."""
    yield artifact
    for end in range(min(len(artifact), MAX_BEGINNING) - 1, 0, -1):
        if artifact[end] == "-":
            yield f"{artifact[: end + 1]}*"


@cache
def _groups() -> Mapping[str, Sequence[tuple[tuple[int, ...], str]]]:
    """Return the groups by name or beginning, the newest first, each with the version since which it is."""
    groups = defaultdict[str, list[tuple[tuple[int, ...], str]]](list)
    for line in _TABLE.strip().splitlines():
        group, *artifacts = line.split()
        for name, _, since in (each.partition(">=") for each in artifacts):
            groups[name].append((_numbers(since), group))
    return {name: sorted(found, reverse=True) for name, found in groups.items()}


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers with which a version begins: (4, 1) of "4.1.Final"; at most four of nine digits."""
    found = re.match(r"\d{1,9}(\.\d{1,9}){0,3}", version)
    return tuple(map(int, found[0].split("."))) if found else ()
